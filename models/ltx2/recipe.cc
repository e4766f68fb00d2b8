#include "models/ltx2/recipe.h"

#include <algorithm>
#include <cmath>

#include "models/recipe_parts.h"

namespace zoetrope {
namespace {

// What its captions are like, in words of our own.
constexpr const char* kInstructions =
    "You rewrite short requests for a model that makes video with sound. Answer with one paragraph "
    "of plain English in the present tense, at most 200 words, and nothing else. Begin with the "
    "main action. Then say, in the order in which it is seen: who and what is there and how it "
    "looks, where it is, the light and the colours, how the camera stands or moves, what changes, "
    "and what is heard. Describe what can be seen and heard only, no feelings and no meaning. Keep "
    "everything that the request says; words that are spoken stay as they are, in quotation marks. "
    "Invent nothing that contradicts it.";

constexpr int kBos = 2, kPad = 0;  // of Gemma

EncodeText encode_text(const Ltx2Pipeline& p) {
  EncodeText s = recipe_parts::encode_text("text_encoder", "text", p.text.places);
  s.tokenizer = p.tokenizer;
  s.bos = kBos;
  s.pad = kPad;
  s.places = s.max_ids;
  s.strip = true;
  return s;
}

// What is known for a stage at that part of the size; the names of its values begin so.
KnownLatents known_latents(Reduced reduced, const std::string& prefix) {
  KnownLatents s = recipe_parts::known_latents("video", "encoder", prefix);
  s.reduced = reduced;
  s.graded = true;
  s.gives_key_times = prefix + "key_times";
  return s;
}

Denoise denoise(const Ltx2Pipeline& p, Reduced reduced, const std::string& prefix) {
  Denoise s = recipe_parts::denoise({"video", "sound"}, {"text"});
  if (p.dit.video.known_latents) {
    s.conditions.push_back({prefix + "known", "known"});
    s.conditions.push_back({prefix + "known_mask", "known_mask"});
    s.keyed = {"dit_keyed", "key_times", prefix + "key_times"};
  }
  if (p.hears) recipe_parts::add_conditions(&s, {"sound_known", "sound_known_mask"});
  s.reduced = reduced;
  s.sampler = p.sampler;
  s.steps = p.steps;
  s.guidance = p.guidance.text;
  const Ltx2Pipeline::Guidance* const of[] = {&p.guidance, &p.sound_guidance};
  for (size_t i = 0; i < 2; ++i) {
    if (of[i]->text != s.guidance) s.streams[i].guidance = of[i]->text;
    s.streams[i].rescale = of[i]->rescale;
  }
  if (p.dit.weaker)
    s.weaker = {{"skipped", {of[0]->skipped, of[1]->skipped}},
                {"isolated", {of[0]->isolated - 1, of[1]->isolated - 1}}};
  return s;
}

ResampleLatents resample(const Ltx2UpsamplerConfig& upsampler) {
  ResampleLatents s;
  s.latents = "video";
  s.component = "upsampler";
  s.input = "latents";
  s.output = "upsampled";
  s.factor = static_cast<int>(upsampler.numerator);
  s.divisor = static_cast<int>(upsampler.denominator);
  return s;
}

// Three steps at the whole size, without guidance.
Denoise refine(Ltx2Pipeline p) {
  p.sampler = ltx2_refining_sampler();
  p.steps = 3;
  p.guidance = p.sound_guidance = {};
  p.dit.weaker = false;
  Denoise s = denoise(p, {}, "");
  if (p.refiner) s.component = "dit_refining";
  if (p.refiner && s.keyed) s.keyed->component = "dit_refining_keyed";
  return s;
}

Status check_upsampler(const Ltx2Pipeline& p) {
  if (!p.upsampler) return Status();
  const Ltx2UpsamplerConfig& u = *p.upsampler;
  if (u.channels != p.dit.video.channels)
    return error(Code::kInvalidArgument, "an upsampler of ", u.channels,
                 " channels; the latents have ", p.dit.video.channels);
  if (u.temporal)
    return error(Code::kUnsupported,
                 "an upsampler to more frames: it is of LTX-2.5's rendering in rounds (diffusers' "
                 "LTX2DFRTemporalRefinePipeline), which is not supported; two stages take one to "
                 "1.5, 2 or 4 times the size");
  if (!p.refiner && (p.dit.weaker || p.guidance.text != 1 || p.sound_guidance.text != 1))
    return error(Code::kUnsupported,
                 "the second stage's three steps are those of distilled checkpoints (--distilled), "
                 "or of this one with the adapter that distils it (--refining-lora)");
  return Status();
}

Status check_positions(const Ltx2Pipeline& p) {
  const Ltx2Config& c = p.dit;
  const int64_t hops = p.sound.mel_frames_a_latent();
  const auto samples = static_cast<double>(p.sound.samples());
  if (c.frames_a_latent != p.vae.time() || c.pixels_a_latent != p.vae.space())
    return error(Code::kInvalidArgument, "latents of ", p.vae.time(), " frames and ", p.vae.space(),
                 " pixels; the transformer's positions are for ", c.frames_a_latent, " and ",
                 c.pixels_a_latent);
  // Of sound, in seconds a latent.
  const double heard = samples / p.sample_rate,
               told = static_cast<double>(c.hop * c.hops_a_latent) /
                      static_cast<double>(c.sample_rate);
  if (hops != c.hops_a_latent || std::abs(heard - told) > 1e-9)
    return error(Code::kInvalidArgument, "a latent of sound lasts ", heard,
                 " s; the transformer's positions are for ", told);
  if (c.fps != std::floor(c.fps))
    return error(Code::kUnsupported, c.fps, " frames a second: expected a whole number");
  if (c.sound.known_latents != p.hears)
    return error(Code::kInvalidArgument,
                 p.hears ? "an encoder of sound and a transformer that knows no latents of it"
                         : "no stage of this recipe gives a transformer known sound");
  return check_upsampler(p);
}

}  // namespace

FlowSampler ltx2_distilled_sampler() {
  FlowSampler s;
  s.solver = FlowSolver::kEuler;
  s.schedule = FlowSchedule::kExplicit;
  s.times = {1, 0.99375, 0.9875, 0.98125, 0.975, 0.909375, 0.725, 0.421875, 0};
  return s;
}

FlowSampler ltx2_refining_sampler() {
  FlowSampler s = ltx2_distilled_sampler();
  s.times = {0.909375, 0.725, 0.421875, 0};
  return s;
}

FlowSampler ltx2_sampler() {
  FlowSampler s;
  s.solver = FlowSolver::kEuler;
  s.shift_by = FlowShift::kExponential;
  s.base_shift = 0.95;
  s.max_shift = 2.05;
  s.base_tokens = 1024;
  s.max_tokens = 4096;
  s.terminal = 0.1;
  return s;
}

void set_ltx2_guidance(Ltx2Pipeline* p) {
  p->steps = p->dit.video.modulated_prompt ? 30 : 40;
  p->guidance = {.text = 3, .skipped = 1, .isolated = 3, .rescale = 0.7};
  p->sound_guidance = p->guidance;
  p->sound_guidance.text = 7;
  // Block 29 of 48, and 28 of 2.3; as deep where there are fewer.
  const int64_t block = p->dit.video.modulated_prompt ? 28 : 29;
  p->dit.weaker = true;
  p->dit.skipped_attention = {p->dit.layers * block / 48};
}

Result<Recipe> ltx2_recipe(const Ltx2Pipeline& p) {
  ZT_RETURN_IF_ERROR(check_positions(p));
  Recipe recipe;
  recipe.latents = {
      recipe_parts::latents("video", Modality::kVideo, p.mean, p.deviation, p.dit.video.channels),
      recipe_parts::latents("sound", Modality::kSound, p.sound_mean, p.sound_deviation,
                            p.dit.sound.channels)};
  recipe.latents[0].pixels = static_cast<int>(p.vae.space());
  recipe.latents[0].later_frames = static_cast<int>(p.vae.time());
  recipe.latents[1].samples = static_cast<int>(p.sound.samples());
  recipe.latents[1].nearest = true;
  const Reduced reduced = p.upsampler ? Reduced{static_cast<int>(p.upsampler->numerator),
                                                static_cast<int>(p.upsampler->denominator)}
                                      : Reduced{};
  const int64_t step = int64_t{recipe.latents[0].pixels} * reduced.by,
                later = static_cast<int64_t>(recipe.latents[0].later_frames);
  const auto side = [&](int64_t preferred, int64_t most) {
    const int64_t least =
        (p.vae.decoder_reflects ? 2 : 1) * step;  // what is reflected has a neighbour
    const int64_t highest = std::max(most / step * step, least);
    return Range{least, highest, step, std::clamp(preferred / step * step, least, highest)};
  };
  recipe.clip.fps = static_cast<int>(p.dit.fps);
  recipe.clip.sample_rate = p.sample_rate;
  recipe.clip.sound_channels = static_cast<int>(p.sound.channels);
  recipe.clip.width = side(768, p.dit.most_width);
  recipe.clip.height = side(512, p.dit.most_height);
  // Up to the longest that positions are fractions of.
  const int64_t latents =
      std::min(p.dit.most_seconds, p.dit.sound_most_seconds) * recipe.clip.fps / later;
  recipe.clip.frames = {1, 1 + later * latents, later, 1 + later * std::min<int64_t>(15, latents),
                        1 % later};
  recipe.stages.push_back(encode_text(p));
  StartPicture start;
  start.latents = "video";
  start.component = "encoder";
  start.input = "video";
  start.output = "mean";
  start.reduced = reduced;
  recipe.stages.push_back(start);
  const std::string prefix = p.upsampler ? "small_" : "";
  if (p.dit.video.known_latents) {
    recipe.stages.push_back(known_latents(reduced, prefix));
    if (p.upsampler) recipe.stages.push_back(known_latents({}, ""));
  }
  if (p.hears)
    recipe.stages.push_back(recipe_parts::known_latents("sound", "sound_encoder", "sound_"));
  recipe.stages.push_back(denoise(p, reduced, prefix));
  if (p.upsampler) {
    recipe.stages.push_back(resample(*p.upsampler));
    recipe.stages.push_back(refine(p));
  }
  recipe.stages.push_back(recipe_parts::decode<DecodeSound>("sound", "sound_decoder"));
  auto frames = recipe_parts::decode<DecodeVideo>("video", "decoder");
  frames.tiles.overlap = 3;  // of tiles in time, as Lightricks cut them, and
  frames.area.overlap = 2;   //   of 64 pixels
  recipe.stages.push_back(frames);
  recipe.expansion = Expansion{.instructions = kInstructions};
  return recipe;
}

}  // namespace zoetrope
