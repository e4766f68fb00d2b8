#include "tests/fuzz/model_changes.h"

#include <algorithm>

#include "tests/fuzz/graph_changes.h"
#include "tests/fuzz/json_changes.h"

namespace zoetrope {
namespace {

using Json = nlohmann::ordered_json;

// A stage of another model, in place of one or before it.
std::string graft_stage(Draw& draw, Json* recipe) {
  static const Json kOthers[] = {Json::parse(recipe_to_json(tiny_clip().recipe)),
                                 Json::parse(recipe_to_json(tiny_causal().recipe)),
                                 Json::parse(recipe_to_json(tiny_picture().recipe)),
                                 Json::parse(recipe_to_json(tiny_ended().recipe)),
                                 Json::parse(recipe_to_json(tiny_edited().recipe)),
                                 Json::parse(recipe_to_json(tiny_refined().recipe)),
                                 Json::parse(recipe_to_json(tiny_sound().recipe))};
  const Json& stages = draw.pick(kOthers)["stages"];
  const Json stage = stages[draw.below(stages.size())];
  Json& own = (*recipe)["stages"];
  if (own.empty()) return "";
  const size_t i = draw.below(own.size());
  if (draw.coin())
    own[i] = stage;
  else
    own.insert(own.begin() + static_cast<int64_t>(i), stage);
  return str("stage ", i, " from elsewhere");
}

int64_t draw_side(Draw& draw, const Range& range) {
  switch (draw.below(10)) {
    case 0: return range.min;
    case 1: return range.max;
    case 2: return draw.whole();
    case 3: return range.preferred + range.multiple;
    case 4: return range.preferred - 1;
    default: return 0;
  }
}

// Mostly of the size that the request asks for.
KnownFrames draw_frames(Draw& draw, const Recipe& recipe, const ClipRequest& clip, int64_t count,
                        bool odd) {
  const auto side = [](int64_t asked, int64_t preferred) {
    return static_cast<size_t>(asked > 0 && asked < 256 ? asked
                                                        : std::min<int64_t>(preferred, 256));
  };
  size_t bytes = side(clip.width, recipe.clip.width.preferred) *
                 side(clip.height, recipe.clip.height.preferred) * 3;
  if (odd && draw.one_in(6)) bytes = draw.below(5000);
  KnownFrames frames{std::vector<uint8_t>(bytes * static_cast<size_t>(count)), count};
  for (size_t i = 0; i < frames.pixels.size(); ++i) frames.pixels[i] = static_cast<uint8_t>(i * 37);
  if (odd && draw.one_in(12)) frames.frames = draw.below(100);
  return frames;
}

std::vector<float> draw_sound(Draw& draw, const Recipe& recipe, bool odd) {
  const auto channels = static_cast<size_t>(std::max(recipe.clip.sound_channels, 1));
  std::vector<float> sound(draw.below(600) * channels + (odd && draw.one_in(6) ? 1 : 0));
  for (size_t i = 0; i < sound.size(); ++i) sound[i] = static_cast<float>(i % 19) * 0.1f - 0.9f;
  if (odd && draw.one_in(6) && !sound.empty()) draw.pick(sound) = static_cast<float>(draw.number());
  return sound;
}

void draw_known(Draw& draw, const Recipe& recipe, bool odd, Request* request) {
  bool frames = false, required = false, sound = false, starts = false, classes = false;
  bool ends = false, shown = false;
  const SourceClip* source = nullptr;
  const ReferenceFeatures* references = nullptr;
  for (const Stage& stage : recipe.stages) {
    required = required || std::holds_alternative<ImageFeatures>(stage);
    starts = starts || std::holds_alternative<StartPicture>(stage);
    classes = classes || std::holds_alternative<ClassLabel>(stage);
    ends = ends || std::holds_alternative<EndPictures>(stage);
    shown = shown || std::holds_alternative<FrameFeatures>(stage);
    if (const auto* found = std::get_if<SourceClip>(&stage)) source = found;
    if (const auto* found = std::get_if<ReferenceFeatures>(&stage)) references = found;
    if (const auto* known = std::get_if<KnownLatents>(&stage)) {
      const LatentSpec* spec = recipe.find_latents(known->latents);
      (spec != nullptr && spec->media == Modality::kSound ? sound : frames) = true;
      required = required || known->required;
    }
  }
  const auto some = [&](int64_t count) {
    return draw_frames(draw, recipe, request->clip, count, odd);
  };
  const auto wants = [&](bool takes, size_t n) {
    return takes ? draw.one_in(n) : odd && draw.one_in(20);
  };
  KnownMedia& known = request->known;
  const int64_t all = request->clip.frames > 0 && request->clip.frames < 64
                          ? request->clip.frames
                          : recipe.clip.frames.preferred;
  if (shown && draw.coin()) known.video = some(std::clamp<int64_t>(all, 1, 64));
  if (source != nullptr && !(odd && draw.one_in(8))) {
    known.source = some(odd && draw.one_in(6) ? draw.below(9) : std::clamp<int64_t>(all, 1, 64));
    const auto scale = static_cast<size_t>(std::clamp(source->scale, 1, 16));
    if (!(odd && draw.one_in(8)))
      known.source.pixels.resize(known.source.pixels.size() / scale / scale);
  }
  if (references != nullptr && !(odd && draw.one_in(8)))
    for (uint32_t i = draw.below(2) + 1; i > 0; --i)
      known.references.push_back(
          {std::vector<uint8_t>(12 * 8 * 3, 90), 12, odd && draw.one_in(8) ? draw.below(99) : 8});
  if (required ? !(odd && draw.one_in(6)) : wants(frames || ends, 3)) known.first = some(1);
  if (ends ? draw.one_in(3) : required && wants(frames, 6)) known.last = some(1);
  if (odd && wants(frames, 4)) known.before = some(draw.below(7));
  if (odd && wants(frames, 5)) known.after = some(draw.below(7));
  if (odd && wants(frames, 6)) known.video = some(draw.below(9));
  if (wants(sound, 6)) known.audio = draw_sound(draw, recipe, odd);
  if (odd && wants(sound, 4)) known.before_sound = draw_sound(draw, recipe, odd);
  if (odd && wants(sound, 5)) known.after_sound = draw_sound(draw, recipe, odd);
  if (wants(starts && !required, 3)) {
    request->start = some(odd && draw.one_in(3) ? draw.below(9) : 1);
    request->strength = odd && draw.one_in(4) ? draw.number() : 0.7;
  }
  static const std::string kClasses[] = {"0", "1", "dog", "tabby", "3", "-1", "", "999999999999"};
  if (classes ? !(odd && draw.one_in(5)) : odd && draw.one_in(20))
    for (uint32_t i = draw.below(3) + 1; i > 0; --i)
      request->classes.push_back(odd ? draw.pick(kClasses) : "1");
}

// Of what is in it mostly, where there is something; a model without any gets one.
std::string change_tokenizer(Draw& draw, std::vector<StoredTokenizer>* tokenizers) {
  const auto drawn = [&] {
    constexpr auto kLast = static_cast<size_t>(EncodeText::Tokenizer::kPieceBpe);
    const auto kind = static_cast<EncodeText::Tokenizer>(draw.below(kLast + 1));
    return StoredTokenizer{"", std::string(tokenizer_name(kind)), {}};
  };
  if (tokenizers->empty()) {
    tokenizers->push_back(drawn());
    return "tokenizer";
  }
  StoredTokenizer& one = tokenizers->front();
  Json json = Json::parse(one.data.begin(), one.data.end(), nullptr, false);
  if (json.is_discarded() || draw.one_in(4)) {
    if (draw.coin())
      one = drawn();
    else
      tokenizers->clear();
    return "tokenizer";
  }
  const std::string what =
      change_json(draw, &json, {"", "r", "e r", "re d", "d e", "<begin>", "a b c"});
  const std::string text = json.dump(-1, ' ', false, Json::error_handler_t::replace);
  one.data.assign(text.begin(), text.end());
  return "tokenizer " + what;
}

}  // namespace

std::string change_recipe(Draw& draw, TinyModel* model) {
  Json json = Json::parse(model->info.recipe, nullptr, false);
  if (json.is_discarded()) return "";
  std::string what;
  if (draw.one_in(8)) {
    what = graft_stage(draw, &json);
  } else {
    static const std::vector<std::string> kWords{"",         "euler",    "unipc",  "dmd",
                                                 "explicit", "heun",     "frames", "latent",
                                                 "grey",     "trailing", "ddim",   "v_prediction"};
    what = change_json(draw, &json, kWords);
  }
  model->info.recipe = json.dump();
  return what;
}

std::string change_tensors(Draw& draw, TinyModel* model) {
  if (model->tensors.empty()) return "";
  TensorSource& tensor = draw.pick(model->tensors);
  const auto fill = [&](double number) {
    tensor.synthetic.reset();
    tensor.load = [type = tensor.type, number]() -> Result<WeightData> {
      auto bytes = std::make_shared<std::vector<uint8_t>>(static_cast<size_t>(type.bytes()));
      for (int64_t i = 0; i < type.shape.elements(); ++i)
        store_element(type.dtype, bytes->data(), i, i % 3 == 0 ? number : 0.25);
      return WeightData{type, bytes->data(), bytes};
    };
  };
  switch (draw.below(4)) {
    case 0:
      tensor.synthetic = SyntheticTensor{static_cast<Distribution>(draw.below(3)), draw.number(),
                                         draw.number(), draw.below(100)};
      tensor.load = nullptr;
      break;
    case 1: fill(draw.number()); break;
    case 2:
      tensor.type.dtype = static_cast<DType>(draw.below(kDTypeCount));
      if (tensor.synthetic) break;
      fill(0.5);
      break;
    default: {  // and in every graph that reads it
      if (tensor.type.shape.rank() == 0) return "";
      const int axis = static_cast<int>(draw.below(static_cast<size_t>(tensor.type.shape.rank())));
      const int64_t extent = draw.coin() ? tensor.type.shape[axis] * 2 : draw.below(40);
      tensor.type.shape[axis] = extent;
      if (!tensor.synthetic) fill(0.5);
      for (Graph& graph : model->info.components)
        for (const ValueId id : graph.weights())
          if (graph.value(id).name == tensor.name &&
              graph.value(id).dims.size() == static_cast<size_t>(tensor.type.shape.rank()))
            graph.value(id).dims[static_cast<size_t>(axis)] = extent;
    }
  }
  return str("tensor ", tensor.name, " ", tensor.type.to_string());
}

std::string change_components(Draw& draw, TinyModel* model) {
  auto& all = model->info.components;
  if (all.empty()) return "";
  Graph& one = draw.pick(all);
  Graph& other = draw.pick(all);
  switch (draw.below(20)) {
    case 0: std::swap(one.name, other.name); return str(one.name, " and ", other.name, " swap");
    case 1: {
      Graph copy = other;
      copy.name = one.name;
      one = std::move(copy);
      return str(one.name, " is another");
    }
    case 2: return change_tokenizer(draw, &model->info.tokenizers);
    default: return change_graph(draw, &one);
  }
}

Request draw_request(Draw& draw, const Recipe& recipe) {
  Request r;
  // Two of three ask for nothing odd, so that what was done to the model shows.
  const bool odd = draw.one_in(3);
  const auto oddly = [&](size_t n) { return odd && draw.one_in(n); };
  static const std::string kPrompts[] = {"",
                                         "x",
                                         std::string(3000, 'a'),
                                         "\xff\xfe",
                                         "ein gr\xc3\xbcner W\xc3\xbcrfel",
                                         "a\x01\x1b[31m b"};
  if (recipe.reads_text()) r.prompt = oddly(2) ? draw.pick(kPrompts) : "a red ball";
  if (recipe.reads_text() && oddly(4)) r.negative = draw.pick(kPrompts);
  if (oddly(4)) r.clip.width = draw_side(draw, recipe.clip.width);
  if (oddly(4)) r.clip.height = draw_side(draw, recipe.clip.height);
  if (oddly(3)) r.clip.frames = draw_side(draw, recipe.clip.frames);
  if (oddly(10)) r.clip.seconds = draw.number();
  draw_known(draw, recipe, odd, &r);
  r.seed = draw.below(5);
  r.steps = oddly(6) ? static_cast<int>(draw.whole()) : static_cast<int>(draw.below(4));
  if (draw.one_in(5)) r.guidance = oddly(2) ? draw.number() : 1;
  if (oddly(6)) r.expert_guidance = {draw.number()};
  if (draw.one_in(5)) r.guidance_mode = GuidanceMode::kSequential;
  const Denoise* denoise = recipe.denoise();
  const bool flow = denoise == nullptr || std::holds_alternative<FlowSampler>(denoise->sampler);
  static const std::string kFlow[] = {"euler", "midpoint", "heun", "unipc", "dpmpp_2m", "dmd"};
  static const std::string kDiffusion[] = {"ddpm", "ddim"};
  static const std::string kSchedules[] = {"linear", "linear_quadratic", "explicit", "other"};
  static const std::string kSpacings[] = {"respaced", "leading", "trailing", "linspace", "other"};
  if (draw.one_in(3)) r.solver = flow != oddly(8) ? draw.pick(kFlow) : draw.pick(kDiffusion);
  if (oddly(6)) r.schedule = draw.pick(kSchedules);
  if (oddly(6)) r.spacing = draw.pick(kSpacings);
  if (oddly(8)) r.shift = draw.number();
  if (oddly(8)) r.eta = draw.number();
  if (oddly(8)) r.noise.assign(draw.below(2000), 0.5f);
  if (draw.one_in(4)) r.compute = draw.coin() ? DType::kBF16 : DType::kF16;
  r.fuse = !draw.one_in(6);
  r.memory_budget = oddly(3) ? int64_t{1} << (10 + draw.below(14)) : 24 << 20;
  if (draw.one_in(5)) r.decode_tile = oddly(2) ? draw.whole() : draw.below(6) - 1;
  return r;
}

}  // namespace zoetrope
