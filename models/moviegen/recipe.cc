#include "models/moviegen/recipe.h"

#include <algorithm>
#include <string>

namespace zoetrope {
namespace {

// Of T5's family: what ends a text, and what fills rows.
constexpr int kT5End = 1, kT5Pad = 0;
constexpr int kByT5Offset = 3;  // of bytes among its ids

constexpr const char* kInstructions =
    "You rewrite short requests for a model that makes videos of up to 16 seconds. Answer with one "
    "plain, factual paragraph of about 100 words and nothing else. Say what is shown and what "
    "happens in the order of time, then the surroundings, the light and how the camera moves. Keep "
    "everything that the request says, and text in quotation marks as it is. Invent nothing that "
    "contradicts it.";

EncodeText text_of(const MovieGenPipeline& p, const std::string& name) {
  EncodeText s;
  s.component = name;
  s.ids = "ids";
  s.output = "text";
  s.gives = "text_" + name;
  s.max_ids = p.text_ids;
  s.prefix = "FPS-" + std::to_string(p.fps) + " ";
  return s;
}

EncodeText t5_text(const MovieGenPipeline& p, const std::string& name) {
  EncodeText s = text_of(p, name);
  s.lengths = "lengths";
  s.eos = kT5End;
  s.pad = kT5Pad;
  s.zero_padding = true;
  return s;
}

}  // namespace

MovieGenPipeline moviegen_pipeline(int billions) {
  MovieGenPipeline p;
  p.dit = moviegen_config(billions);
  // UL2-20B (arXiv 2205.05131) and ByT5-small (arXiv 2105.13626), as published.
  p.ul2 = {.vocabulary = 32128,
           .width = 4096,
           .layers = 32,
           .heads = 16,
           .head_dim = 256,
           .ffn = 16384,
           .ffn_kind = T5Config::Ffn::kGatedSilu,
           .bias_a_layer = false};
  p.byt5 = {.vocabulary = 384,
            .width = 1472,
            .layers = 12,
            .heads = 6,
            .head_dim = 64,
            .ffn = 3584,
            .bias_a_layer = false};
  p.metaclip = clip_text_vit_big_g_14();
  p.metaclip.positions = p.text_ids;
  p.metaclip.projection = 0;
  return p;
}

Recipe moviegen_recipe(const MovieGenPipeline& p) {
  Recipe r;
  r.expansion = Expansion{.instructions = kInstructions};
  LatentSpec latents;
  latents.name = "video";
  latents.channels = static_cast<int>(p.dit.channels);
  latents.mean.assign(static_cast<size_t>(latents.channels), 0);
  latents.std.assign(static_cast<size_t>(latents.channels), 1);
  latents.pixels = static_cast<int>(p.tae.factor());
  // Each latent stands for as many frames; what comes out beyond the clip is dropped.
  latents.first_frames = latents.later_frames = latents.pixels;
  r.latents = {latents};
  const int64_t step = 2 * int64_t{latents.pixels};  // of patches
  const auto side = [&](int64_t preferred) {
    const int64_t most = std::max(p.most_side / step * step, step);
    return Range{step, most, step, std::clamp(preferred / step * step, step, most)};
  };
  r.clip.fps = p.fps;
  r.clip.width = r.clip.height = side(p.side);
  const int64_t longest = p.dit.positions == MovieGenConfig::Positions::kTables
                              ? std::min<int64_t>(p.frames, p.dit.max_frames * latents.later_frames)
                              : p.frames;
  r.clip.frames = {1, longest, 1, longest};
  EncodeText ul2 = t5_text(p, "ul2"), byt5 = t5_text(p, "byt5"), metaclip = text_of(p, "metaclip");
  byt5.byte_offset = kByT5Offset;
  byt5.quoted = true;  // what is to be read in the picture
  byt5.prefix.clear();
  metaclip.bos = static_cast<int>(p.metaclip.eos) - 1;
  metaclip.eos = metaclip.pad = static_cast<int>(p.metaclip.eos);
  metaclip.pad_to_max = true;
  Denoise denoise;
  denoise.component = "dit";
  denoise.time = "time";
  denoise.streams = {{"video", "video", "video_velocity"}};
  for (const auto& encoder : p.dit.text)
    denoise.conditions.push_back({"text_" + encoder.name, "text_" + encoder.name});
  FlowSampler sampler;
  sampler.solver = FlowSolver::kEuler;
  sampler.schedule = FlowSchedule::kLinearQuadratic;
  sampler.linear_steps = p.linear_steps;
  denoise.sampler = sampler;
  denoise.steps = p.steps;
  denoise.guidance = p.guidance;
  DecodeVideo decode;
  decode.latents = "video";
  decode.component = "decoder";
  decode.input = "latents";
  decode.output = "video";
  decode.tiles = {.length = 4, .overlap = 2, .reach = 0};  // 32 frames, 16 of them blended
  r.stages = {ul2, byt5, metaclip, denoise, decode};
  return r;
}

}  // namespace zoetrope
