#include "graph/format/recipe.h"

#include <algorithm>
#include <array>
#include <map>
#include <numeric>
#include <set>

#include "graph/format/recipe_given.h"
#include "graph/format/recipe_references.h"
#include "graph/format/recipe_samplers.h"
#include "graph/json_writer.h"

namespace zoetrope {
namespace {

using Names = std::span<const std::string_view>;
constexpr std::string_view kModalities[] = {"image", "video", "sound"};
constexpr std::string_view kTokenizers[] = {"bytes", "sentencepiece", "clip_bpe", "byte_bpe",
                                            "piece_bpe"};
constexpr std::string_view kSamplers[] = {"flow", "diffusion"};
// In the order of Stage's alternatives.
constexpr std::string_view kStages[] = {
    "encode_text",      "class_label",   "image_features", "frame_features", "reference_features",
    "end_pictures",     "start_picture", "source_clip",    "known_latents",  "denoise",
    "resample_latents", "decode_sound",  "decode_video",   "decode_image"};
constexpr std::string_view kWeights[] = {"slopes", "triangle"};

constexpr size_t kMaxStages = 64;
constexpr int kMaxChannels = 4096;

}  // namespace

// Every struct's fields, once: what JsonReader checks and Writer writes.

template <typename V>
void fields(V& v, Range& r) {
  v.integer("min", &r.min, 1, kMaxSide);
  v.integer("max", &r.max, 1, kMaxSide);
  v.integer("multiple", &r.multiple, 1, 1 << 16);
  v.integer("preferred", &r.preferred, 1, kMaxSide);
  v.integer("offset", &r.offset, 0, 1 << 16);
  const auto fits = [&](int64_t value) {
    return value >= r.min && value <= r.max && (value - r.offset) % r.multiple == 0;
  };
  v.require(r.min <= r.max, "max", "at least min");
  v.require(r.offset < r.multiple, "offset", "less than multiple");
  v.require(fits(r.preferred), "preferred", "between min and max, in their steps");
}

template <typename V>
void fields(V& v, ClipSpec& c) {
  v.integer("fps", &c.fps, 1, 1000);
  v.integer("sample_rate", &c.sample_rate, 0, 768000);
  v.integer("sound_channels", &c.sound_channels, 0, 64);
  v.require((c.sample_rate > 0) == (c.sound_channels > 0), "sound_channels",
            "given with sample_rate, and only then");
  v.object("width", &c.width);
  v.object("height", &c.height);
  v.object("frames", &c.frames);
}

template <typename V>
void fields(V& v, LatentSpec& l) {
  v.name("name", &l.name);
  v.choice("media", &l.media, kModalities);
  v.integer("channels", &l.channels, 1, kMaxChannels);
  v.numbers("mean", &l.mean, kMaxChannels, -1e6, 1e6);
  v.numbers("std", &l.std, kMaxChannels, 1e-6, 1e6);
  const auto channels = static_cast<size_t>(l.channels);
  v.require(l.channels > 0, "channels", "given");
  v.require(l.mean.size() == channels, "mean", "one number a channel");
  v.require(l.std.size() == channels, "std", "one number a channel");
  if (l.media == Modality::kSound) {
    v.integer("samples", &l.samples, 1, 1 << 20);
    return v.flag("nearest", &l.nearest);
  }
  v.integer("pixels", &l.pixels, 1, 256);
  if (l.media == Modality::kImage) return;
  v.integer("first_frames", &l.first_frames, 1, 64);
  v.integer("later_frames", &l.later_frames, 1, 64);
  v.integer("period", &l.period, 0, 64);
}

template <typename V>
void fields(V& v, TileSpec& t) {
  v.integer("length", &t.length, 0, kMaxSide);
  v.integer("overlap", &t.overlap, 0, kMaxSide);
  v.integer("reach", &t.reach, 0, kMaxSide);
  v.require(t.length == 0 || t.overlap < t.length, "overlap", "less than length");
  v.flag("stitched", &t.stitched);
  v.require(!t.stitched || (t.length > 0 && 2 * t.overlap <= t.length && t.reach == 0), "stitched",
            "of tiles with a length, of which they share half at most");
}

template <typename V>
void fields(V& v, EncodeText::Seen& s) {
  v.name("component", &s.component);
  v.name("input", &s.input);
  v.name("output", &s.output);
  v.name("text", &s.text);
  v.name("features", &s.features);
  v.name("reads", &s.reads);
  v.name("positions", &s.positions);
  v.text("label", &s.label, 256);
  v.integer("begin", &s.begin, 0, 1 << 24);
  v.integer("place", &s.place, 0, 1 << 24);
  v.integer("end", &s.end, 0, 1 << 24);
  v.integer("pixels", &s.pixels, 1, 1 << 10);
  v.integer("least_pixels", &s.least_pixels, 0, int64_t{1} << 32);
  v.integer("most_pixels", &s.most_pixels, 0, int64_t{1} << 32);
  v.name("gives", &s.gives);
}

template <typename V>
void fields(V& v, EncodeText& s) {
  v.name("component", &s.component);
  v.name("ids", &s.ids);
  v.optional_name("lengths", &s.lengths);
  v.name("output", &s.output);
  v.name("gives", &s.gives);
  v.optional_name("gives_lengths", &s.gives_lengths);
  v.optional_name("pooled", &s.pooled);
  v.optional_name("gives_pooled", &s.gives_pooled);
  v.require(s.pooled.empty() == s.gives_pooled.empty(), "gives_pooled",
            "given with pooled, and only then");
  v.choice("tokenizer", &s.tokenizer, kTokenizers);
  v.optional_name("tokenizer_name", &s.tokenizer_name);
  v.integer("bos", &s.bos, -1, 1 << 24);
  v.integer("eos", &s.eos, -1, 1 << 24);
  v.integer("pad", &s.pad, 0, 1 << 24);
  v.integer("max_ids", &s.max_ids, 0, 1 << 16);
  v.require(s.max_ids > (s.bos >= 0) + (s.eos >= 0), "max_ids", "more than bos and eos take");
  v.flag("pad_to_max", &s.pad_to_max);
  v.flag("zero_padding", &s.zero_padding);
  v.flag("clean", &s.clean);
  v.flag("strip", &s.strip);
  v.text("prefix", &s.prefix, 256);
  v.flag("quoted", &s.quoted);
  v.integer("byte_offset", &s.byte_offset, 0, 1 << 16);
  v.require(s.byte_offset == 0 || s.tokenizer == EncodeText::Tokenizer::kBytes, "byte_offset",
            "of the tokenizer bytes");
  v.integer("places", &s.places, 0, 1 << 16);
  v.require(s.places == 0 || (s.places >= s.max_ids && !s.zero_padding), "places",
            "at least max_ids, and without zero_padding");
  EncodeText::Seen seen = s.seen.value_or(EncodeText::Seen());
  v.optional_object("seen", &seen, s.seen.has_value());
  if (!seen.component.empty()) s.seen = std::move(seen);
  v.require(!s.seen || (s.bos < 0 && s.eos < 0 && !s.pad_to_max && !s.zero_padding &&
                        s.places == 0 && s.pooled.empty() && !s.lengths.empty() &&
                        s.tokenizer != EncodeText::Tokenizer::kBytes),
            "seen", "with lengths, without bos, eos, pad_to_max, places and pooled");
}

template <typename V>
void fields(V& v, ClassLabel& s) {
  v.name("gives", &s.gives);
  v.integer("classes", &s.classes, 1, 1 << 20);
  v.integer("null_class", &s.null_class, 0, 1 << 20);
  v.texts("names", &s.names, 1 << 20);
  v.integer("preset", &s.preset, -1, 1 << 20);
  v.flag("every_row", &s.every_row);
  v.require(s.preset < s.classes, "preset", "one of the classes");
  v.require(s.classes > 0, "classes", "given");
  v.require(s.names.empty() || s.names.size() == static_cast<size_t>(s.classes), "names",
            "one text a class, or left out");
}

template <typename V>
void fields(V& v, Denoise::Keyed& k) {
  v.name("component", &k.component);
  v.name("input", &k.input);
  v.name("value", &k.value);
}

template <typename V>
void fields(V& v, Denoise::Stream::Schedule& s) {
  v.name("time", &s.time);
  v.number("shift", &s.shift, 1e-3, 1e3);
}

template <typename V>
void fields(V& v, Denoise::Stream& s) {
  v.name("latents", &s.latents);
  v.name("input", &s.input);
  v.name("output", &s.output);
  v.optional_number("guidance", &s.guidance, 0, 1000);
  v.number("rescale", &s.rescale, 0, 1);
  auto schedule = s.schedule.value_or(Denoise::Stream::Schedule());
  v.optional_object("schedule", &schedule, s.schedule.has_value());
  if (!schedule.time.empty()) s.schedule = std::move(schedule);
}

template <typename V>
void fields(V& v, Denoise::Weaker& w) {
  v.name("input", &w.input);
  v.numbers("scales", &w.scales, 8, -1000, 1000);
  v.flag("unwanted", &w.unwanted);
}

template <typename V>
void fields(V& v, Denoise::Windows& w) {
  v.integer("length", &w.length, 0, kMaxSide);
  v.integer("overlap", &w.overlap, 0, kMaxSide);
  v.choice("weights", &w.weights, kWeights);
  v.require(w.length == 0 || (w.overlap > 0 && w.overlap < w.length), "overlap",
            "more than 0 and less than length");
}

template <typename V>
void fields(V& v, Denoise::Condition& c) {
  v.name("value", &c.value);
  v.name("input", &c.input);
}

template <typename V>
void fields(V& v, Denoise::Ended& e) {
  v.name("component", &e.component);
  v.objects("conditions", &e.conditions, 16);
}

template <typename V>
void fields(V& v, Denoise::Expert& e) {
  v.name("component", &e.component);
  v.number("below", &e.below, 0, 1);
  v.optional_number("guidance", &e.guidance, 0, 1000);
  v.require(e.below > 0, "below", "given, more than 0");
}

// The sampler as an object of its own.
struct SamplerField {
  std::variant<FlowSampler, DiffusionSpec> held;
};
template <typename V>
void fields(V& v, SamplerField& s) {
  v.variant("method", &s.held, kSamplers);
}

template <typename V>
void fields(V& v, Denoise& s) {
  v.name("component", &s.component);
  v.name("time", &s.time);
  v.number("time_scale", &s.time_scale, 1e-6, 1e6);
  v.objects("streams", &s.streams, 8);
  v.objects("conditions", &s.conditions, 64);
  SamplerField sampler{s.sampler};
  v.object("sampler", &sampler);
  s.sampler = std::move(sampler.held);
  v.integer("steps", &s.steps, 1, 10000);
  v.number("guidance", &s.guidance, 0, 1000);
  v.integer("guidance_channels", &s.guidance_channels, 0, kMaxChannels);
  v.require(!s.streams.empty(), "streams", "given");
  v.objects("weaker", &s.weaker, 8);
  for (const Denoise::Weaker& w : s.weaker)
    v.require(w.scales.size() == s.streams.size(), "weaker", "with a scale for each stream");
  for (const Denoise::Stream& stream : s.streams)
    v.require(
        (stream.rescale == 0 && !stream.schedule) || std::holds_alternative<FlowSampler>(s.sampler),
        "streams", "without 'rescale' and 'schedule', or the sampler flow matching");
  v.objects("experts", &s.experts, 8);
  v.require(s.experts.empty() || std::holds_alternative<FlowSampler>(s.sampler), "experts",
            "left out, or the sampler flow matching");
  for (size_t i = 1; i < s.experts.size(); ++i)
    v.require(s.experts[i].below < s.experts[i - 1].below, "experts", "falling in 'below'");
  reduced_field(v, &s.reduced);
  Denoise::Keyed keyed = s.keyed.value_or(Denoise::Keyed());
  v.optional_object("keyed", &keyed, s.keyed.has_value());
  if (!keyed.component.empty()) s.keyed = std::move(keyed);
  v.optional_object("windows", &s.windows, s.windows.length > 0);
  v.require(!s.keyed || s.experts.empty(), "keyed", "left out where there are experts");
  Denoise::Ended ended = s.ended.value_or(Denoise::Ended());
  v.optional_object("ended", &ended, s.ended.has_value());
  if (!ended.component.empty()) s.ended = std::move(ended);
  v.require(
      !s.ended || (s.experts.empty() && !s.keyed && !s.reduced.any() && s.windows.length == 0),
      "ended", "left out where there are experts, keyed, reduced or windows");
}

template <typename V>
void fields(V& v, ResampleLatents& s) {
  v.name("latents", &s.latents);
  component_fields(v, &s);
  v.integer("factor", &s.factor, 2, 64);
  v.integer("divisor", &s.divisor, 1, 64);
  v.require(s.divisor < s.factor && std::gcd(s.factor, s.divisor) == 1, "divisor",
            "less than 'factor', in lowest terms");
}

template <typename V>
void fields(V& v, Decode& s) {
  v.name("latents", &s.latents);
  v.optional_name("first", &s.first);
  component_fields(v, &s);
  v.object("tiles", &s.tiles);
  v.object("area", &s.area);
}

template <typename V>
void fields(V& v, Stage& s) {
  v.variant("kind", &s, kStages);
}

template <typename V>
void fields(V& v, Expansion::Slot& s) {
  v.name("name", &s.name);
  v.texts("words", &s.words, 1000);
  v.require(!s.words.empty(), "words", "given");
  for (const std::string& word : s.words)
    v.require(word.find_first_of("{}") == std::string::npos, "words", "without braces");
}

template <typename V>
void fields(V& v, Expansion& e) {
  v.text("instructions", &e.instructions, 1 << 16);
  v.text("pattern", &e.pattern, 4096);
  v.objects("slots", &e.slots, 64);
  v.require(e.pattern.empty() == e.slots.empty(), "slots", "given with pattern, and only then");
  v.require(e.instructions.empty() != e.pattern.empty(), "instructions",
            "given, or a pattern, and not both");
  for (const Expansion::Slot& slot : e.slots)
    v.require(e.pattern.find("{" + slot.name + "}") != std::string::npos, "pattern",
              "with every slot's name in braces");
}

template <typename V>
void fields(V& v, Recipe& r) {
  v.object("clip", &r.clip);
  v.objects("latents", &r.latents, 8);
  v.objects("stages", &r.stages, kMaxStages);
  v.text("incomplete", &r.incomplete, 4096);
  Expansion expansion = r.expansion.value_or(Expansion());
  v.optional_object("expansion", &expansion, r.expansion.has_value());
  if (!expansion.instructions.empty() || !expansion.pattern.empty())
    r.expansion = std::move(expansion);
}

namespace {

template <typename E>
Result<E> parse_choice(const char* what, std::string_view name, Names names) {
  std::string all;
  for (size_t i = 0; i < names.size(); ++i) {
    if (names[i] == name) return static_cast<E>(i);
    all += str(i == 0 ? "" : ", ", names[i]);
  }
  return error(Code::kInvalidArgument, "unknown ", what, " '", name, "'; known: ", all);
}

const LatentSpec* find_media(const Recipe& recipe, bool sound) {
  for (const LatentSpec& l : recipe.latents)
    if ((l.media == Modality::kSound) == sound) return &l;
  return nullptr;
}

}  // namespace

Reduced Reduced::grown(int factor, int divisor) const {
  const int b = by * divisor, t = to * factor, common = std::gcd(b, t);
  return {b / common, t / common};
}

std::string Reduced::text() const { return to == 1 ? str(by) : str(by, "/", to); }

std::string_view media_name(Modality media) { return kModalities[static_cast<size_t>(media)]; }

std::string_view stage_kind(const Stage& stage) { return kStages[stage.index()]; }

const LatentSpec* Recipe::find_latents(std::string_view name) const {
  for (const LatentSpec& l : latents)
    if (l.name == name) return &l;
  return nullptr;
}

const Denoise* Recipe::denoise() const {
  for (const Stage& stage : stages)
    if (const auto* found = std::get_if<Denoise>(&stage)) return found;
  return nullptr;
}

const LatentSpec* Recipe::picture() const { return find_media(*this, false); }
const LatentSpec* Recipe::sound() const { return find_media(*this, true); }

bool Recipe::reads_text() const {
  return std::any_of(stages.begin(), stages.end(),
                     [](const Stage& stage) { return std::holds_alternative<EncodeText>(stage); });
}

Result<Recipe> parse_recipe(std::string_view text) {
  const auto json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) return error(Code::kDataLoss, "recipe: not valid JSON");
  Recipe recipe;
  JsonReader reader(json, "recipe");
  fields(reader, recipe);
  ZT_RETURN_IF_ERROR(reader.finish());
  ZT_RETURN_IF_ERROR(check_references(recipe));
  return recipe;
}

std::string recipe_to_json(const Recipe& recipe) {
  Recipe copy = recipe;  // one list of fields reads and writes
  JsonWriter writer;
  fields(writer, copy);
  return writer.json.dump(1);
}

size_t Denoise::network_at(double told) const {
  size_t at = 0;
  while (at < experts.size() && told < experts[at].below) ++at;
  return at;
}

std::string_view solver_name(FlowSolver s) { return kFlowSolvers[static_cast<size_t>(s)]; }
std::string_view schedule_name(FlowSchedule s) { return kFlowSchedules[static_cast<size_t>(s)]; }
std::string_view unipc_b_name(UniPcB b) { return kUniPcBs[static_cast<size_t>(b)]; }
std::string_view tokenizer_name(EncodeText::Tokenizer t) {
  return kTokenizers[static_cast<size_t>(t)];
}
Result<FlowSolver> parse_flow_solver(std::string_view name) {
  return parse_choice<FlowSolver>("flow-matching solver", name, kFlowSolvers);
}
Result<FlowSchedule> parse_flow_schedule(std::string_view name) {
  return parse_choice<FlowSchedule>("schedule", name, kFlowSchedules);
}

}  // namespace zoetrope
