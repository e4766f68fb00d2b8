// How MiniMax-H3's components make a clip with sound from words (diffusers' modular pipeline, task
// t2va): the recipe of a pipeline, from what its parts are.
#pragma once

#include <vector>

#include "graph/format/recipe.h"
#include "models/minimax_h3/dit.h"
#include "models/minimax_h3/sound.h"
#include "models/minimax_h3/video_vae.h"
#include "models/qwen3/qwen3.h"

namespace zoetrope {

struct MiniMaxH3Pipeline {
  MiniMaxH3Config dit;
  Qwen3Config text;  // cut to the layers that are read
  MiniMaxH3VaeConfig vae;
  MiniMaxH3SoundConfig sound;
  std::vector<float> mean, deviation;              // of the video's latents, a channel
  std::vector<float> sound_mean, sound_deviation;  // of one side's
  EncodeText::Tokenizer tokenizer = EncodeText::Tokenizer::kByteBpe;
  double shift = 12, sound_shift = 3;
  int steps = 49;  // evaluations; the reference's "num_inference_steps" counts the last time too
  // The canvas of a clip for which no size is asked: 16:9 of this shorter side, at most so large.
  int64_t canvas_side = 768, canvas_pixels = int64_t{768} * 1344;
  // Of the decoder's pieces in pixels: those that the frames of the released model were made with.
  int64_t tile = 256, tile_overlap = 64;
};

// The layer of Qwen3-VL behind which words are read.
inline constexpr int64_t kMiniMaxH3TextLayers = 50;

// Components: text_encoder, dit, encoder, decoder, sound_encoder, sound_decoder; the encoders serve
// no stage of it. An error names what the transformer takes for granted of the other parts and is
// not so.
Result<Recipe> minimax_h3_recipe(const MiniMaxH3Pipeline& pipeline);

}  // namespace zoetrope
