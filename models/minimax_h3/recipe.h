// How MiniMax-H3's components make a clip with sound from words, and from pictures that it begins
// or ends with (diffusers' modular pipeline, tasks t2va and fl2va): the recipe of a pipeline, from
// what its parts are.
#pragma once

#include <optional>
#include <vector>

#include "graph/format/recipe.h"
#include "models/minimax_h3/dit.h"
#include "models/minimax_h3/sound.h"
#include "models/minimax_h3/video_vae.h"
#include "models/qwen3/qwen3.h"
#include "models/qwen3/vision.h"

namespace zoetrope {

struct MiniMaxH3Pipeline {
  MiniMaxH3Config dit;
  Qwen3Config text;  // cut to the layers that are read
  // Where pictures may be given: what sees them, and the ids that stand around and for its places.
  std::optional<Qwen3VisionConfig> vision = std::nullopt;
  int vision_start = 151652, vision_end = 151653, vision_place = 151655;
  int64_t least_pixels = 1 << 16, most_pixels = 1 << 24;  // that are read as they are
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

// Components: text_encoder, dit, encoder, decoder, sound_encoder, sound_decoder, and with vision
// text_seeing, vision and dit_ended; the encoder of sound serves no stage, that of video pictures.
// An error names what the transformer takes for granted of the other parts and is not so.
Result<Recipe> minimax_h3_recipe(const MiniMaxH3Pipeline& pipeline);

}  // namespace zoetrope
