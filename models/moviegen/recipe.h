// How Movie Gen's components make a video: the recipe of its pipeline (arXiv 2410.13720, section
// 3.1), from what its parts are.
#pragma once

#include "graph/format/recipe.h"
#include "models/clip/clip.h"
#include "models/clip/clip_text.h"
#include "models/moviegen/moviegen.h"
#include "models/moviegen/tae.h"
#include "models/t5/t5.h"

namespace zoetrope {

// Components: ul2, byt5, metaclip (text encoders), encoder, decoder, dit, whose texts are in that
// order; vision_encoder, where the transformer takes pictures.
struct MovieGenPipeline {
  MovieGenConfig dit;
  TaeConfig tae;
  T5Config ul2, byt5;
  ClipTextConfig metaclip;
  int fps = 16;
  int64_t side = 768, most_side = 1920, frames = 256;  // preferred sizes, and the largest side
  int text_ids = 256;                                  // the longest of each text
  int steps = 50;
  int linear_steps = 1000;  // N of the schedule's first half
  double guidance = 7.5;
  FlowSchedule schedule = FlowSchedule::kLinearQuadratic;
  // Of transformers that are told more than words.
  int scale = 1;                        // of the source: 2 doubles its rows and columns
  int window = 0, overlap = 0;          // latents that they see at once; 0: all
  double source_guidance = 1.5;         // of editing: away from the same without a clip
  std::vector<std::string> tasks = {};  // of editing, by name
  int preset_task = 0;
  ClipVisionConfig vision = {};
};

MovieGenPipeline moviegen_pipeline(int billions);
// The rest of the video cast. What the paper leaves open is said with the functions.
MovieGenPipeline moviegen_upsampler_pipeline();
MovieGenPipeline moviegen_edit_pipeline();
MovieGenPipeline moviegen_personalised_pipeline();
// The same parts, a few thousand weights each: for trying commands.
MovieGenPipeline tiny_moviegen_pipeline();

Recipe moviegen_recipe(const MovieGenPipeline& pipeline);

}  // namespace zoetrope
