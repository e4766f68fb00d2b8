#include "models/moviegen/recipe.h"

#include <algorithm>
#include <string>

#include "models/recipe_parts.h"

namespace zoetrope {
namespace {

constexpr int kByT5Offset = 3;  // of bytes among its ids
constexpr const char* kPrefix = "FPS-{fps} ";

constexpr const char* kInstructions =
    "You rewrite short requests for a model that makes videos of up to 16 seconds. Answer with one "
    "plain, factual paragraph of about 100 words and nothing else. Say what is shown and what "
    "happens in the order of time, then the surroundings, the light and how the camera moves. Keep "
    "everything that the request says, and text in quotation marks as it is. Invent nothing that "
    "contradicts it.";

SourceClip source_of(const MovieGenPipeline& p) {
  SourceClip s;
  s.latents = s.input = "video";
  s.component = "encoder";
  s.output = "mean";
  s.gives = "source";
  if (p.dit.tasks > 0) s.gives_black = "black";
  s.scale = p.scale;
  s.tile = p.tae.frames_alone ? 1 : 4;  // 32 frames, without overlap
  return s;
}

ClassLabel tasks_of(const MovieGenPipeline& p) {
  ClassLabel s;
  s.gives = "task";
  s.classes = static_cast<int>(p.dit.tasks);
  s.names = p.tasks;
  s.preset = p.preset_task;
  s.every_row = true;
  return s;
}

ReferenceFeatures references_of(const MovieGenPipeline& p) {
  ReferenceFeatures s;
  s.component = "vision_encoder";
  s.input = "image";
  s.output = "features";
  s.gives = "reference";
  s.size = static_cast<int>(p.vision.image_size);
  s.most = static_cast<int>(p.dit.references);
  return s;
}

}  // namespace

// Section 3.1.5: a smaller variant of the same transformer over each frame's own autoencoder, 14
// latents at once of which neighbours share 4, in 20 steps. Open: the schedule of times (linear
// here), guidance (none), how the windows' results are weighted (a ramp over what they share).
MovieGenPipeline moviegen_upsampler_pipeline() {
  MovieGenPipeline p = moviegen_pipeline(7);
  p.dit.source = p.tae.frames_alone = true;
  p.window = 14;
  p.overlap = 4;
  p.dit.max_frames = p.window;
  p.scale = 2;
  p.fps = 24;
  p.side = 1088;  // 1080 rows are no whole patches
  p.frames = 4096;
  p.most_side = 2048;
  p.steps = 20;
  p.schedule = FlowSchedule::kLinear;
  p.guidance = 1;
  return p;
}

// Section 5.1.1. Open: the tasks (here those by which Emu Edit's benchmark is sorted, arXiv
// 2311.10089) and guidance (Emu Edit's two terms: 7.5 for the words and 1.5 for the clip, in whose
// place the network sees black, as when it was trained on words alone).
MovieGenPipeline moviegen_edit_pipeline() {
  MovieGenPipeline p = moviegen_pipeline(30);
  p.dit.source = true;
  p.tasks = {"global", "local", "add", "remove", "background", "style", "texture"};
  p.dit.tasks = static_cast<int64_t>(p.tasks.size());
  return p;
}

// Section 4.1.1: one picture of a face, masked by whoever gives it. Open: the tower (ViT-bigG/14,
// whose text half the pipeline has), which of its layers is seen (the last), guidance (the picture
// stands in both halves). Up to three pictures as Movie Weaver joins them (arXiv 2502.07802).
MovieGenPipeline moviegen_personalised_pipeline() {
  MovieGenPipeline p = moviegen_pipeline(30);
  p.vision.width = p.dit.reference_width = 1664;
  p.vision.layers = 48;
  p.vision.ffn = 8192;
  p.vision.left_out = 0;
  p.dit.references = 3;
  return p;
}

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

MovieGenPipeline tiny_moviegen_pipeline() {
  MovieGenPipeline p = moviegen_pipeline(1);
  p.dit.layers = p.dit.heads = 2;
  p.dit.width = 48;
  p.dit.ffn = 64;
  p.dit.text = {{"ul2", 24}, {"byt5", 16}, {"metaclip", 24}};
  p.tae.levels = {8, 8, 8, 8};
  p.tae.layers = 1;
  p.tae.groups = 4;
  for (const auto& [encoder, width] : {std::pair{&p.ul2, int64_t{24}}, {&p.byt5, int64_t{16}}}) {
    encoder->vocabulary = 384;
    encoder->width = width;
    encoder->layers = encoder->heads = 2;
    encoder->head_dim = 8;
    encoder->ffn = 32;
  }
  p.metaclip.vocabulary = 512;
  p.metaclip.eos = 511;
  p.metaclip.width = 24;
  p.metaclip.layers = p.metaclip.heads = 2;
  p.metaclip.ffn = 48;
  p.side = 64;
  p.most_side = 256;
  p.frames = 32;
  p.steps = 4;
  return p;
}

Recipe moviegen_recipe(const MovieGenPipeline& p) {
  Recipe r;
  r.expansion = Expansion{.instructions = kInstructions};
  LatentSpec latents = recipe_parts::latents("video", Modality::kVideo, 0, 1, p.dit.channels);
  latents.pixels = static_cast<int>(p.tae.factor());
  // Each latent stands for as many frames; what comes out beyond the clip is dropped.
  latents.first_frames = latents.later_frames = static_cast<int>(p.tae.time_factor());
  r.latents = {latents};
  const int64_t step = 2 * int64_t{latents.pixels};  // of patches
  const bool tables = p.dit.positions == MovieGenConfig::Positions::kTables;
  const auto side = [&](int64_t patches) {
    int64_t most = std::max(p.most_side / step * step, step);
    if (tables) most = std::min(most, patches * step);
    return Range{step, most, step, std::clamp(p.side / step * step, step, most)};
  };
  r.clip.fps = p.fps;
  r.clip.width = side(p.dit.max_columns);
  r.clip.height = side(p.dit.max_rows);
  const bool bounded = tables && p.window == 0;
  const int64_t longest =
      bounded ? std::min<int64_t>(p.frames, p.dit.max_frames * latents.later_frames) : p.frames;
  r.clip.frames = {1, longest, 1, longest};
  EncodeText ul2 = recipe_parts::encode_t5_text("ul2", "text_ul2", p.text_ids),
             byt5 = recipe_parts::encode_t5_text("byt5", "text_byt5", p.text_ids),
             metaclip = recipe_parts::encode_text("metaclip", "text_metaclip", p.text_ids);
  ul2.prefix = metaclip.prefix = kPrefix;
  byt5.byte_offset = kByT5Offset;
  byt5.quoted = true;  // what is to be read in the picture
  metaclip.lengths.clear();
  metaclip.bos = static_cast<int>(p.metaclip.eos) - 1;
  metaclip.eos = metaclip.pad = static_cast<int>(p.metaclip.eos);
  metaclip.pad_to_max = true;
  Denoise denoise = recipe_parts::denoise({"video"}, {});
  for (const auto& encoder : p.dit.text)
    recipe_parts::add_conditions(&denoise, {"text_" + encoder.name});
  FlowSampler sampler;
  sampler.solver = FlowSolver::kEuler;
  sampler.schedule = p.schedule;
  sampler.linear_steps = p.linear_steps;
  denoise.sampler = sampler;
  denoise.steps = p.steps;
  denoise.guidance = p.guidance;
  denoise.windows = {p.window, p.overlap};
  auto decode = recipe_parts::decode<DecodeVideo>("video", "decoder");
  decode.tiles = {.length = 4, .overlap = 2, .reach = 0};  // 32 frames, 16 of them blended
  if (p.tae.frames_alone) decode.tiles = {.length = 1, .overlap = 0, .reach = 0};
  r.stages = {ul2, byt5, metaclip};
  const auto given = [&](Stage stage, const std::string& name) {
    r.stages.push_back(std::move(stage));
    recipe_parts::add_conditions(&denoise, {name});
  };
  if (p.dit.reference_width > 0) given(references_of(p), "reference");
  if (p.dit.source) given(source_of(p), "source");
  if (p.dit.tasks > 0) {
    given(tasks_of(p), "task");
    recipe_parts::add_conditions(&denoise, {"black"});
    denoise.weaker = {{"without_source", {p.source_guidance - 1}, /*unwanted=*/true}};
  }
  r.stages.insert(r.stages.end(), {denoise, decode});
  return r;
}

}  // namespace zoetrope
