// Wan's transformers, 2.1 and 2.2 (facts from Wan-Video/Wan2.1 and Wan2.2, wan/modules/model.py).
//   dit  video [batch, frames, height, width, channels] (latent sizes, height and width even),
//        time [batch] in [0, 1], text [batch, text_length, 4096] (padding zeroed, not masked)
//        → video_velocity, shaped as video
//   Conditioning::kChannels (image to video) adds to the channels of every position
//        known [batch, frames, height, width, channels], latents of the clip with grey where it is
//        unknown, and known_mask [..., mask_channels], a channel a frame of pixels: 1 is known
//   Conditioning::kFrames (2.2's TI2V) has latents of whole frames kept
//        known and known_mask [..., 1]: where it is 1, video is replaced by known, and the velocity
//        is the one that leads there; a frame that is all known has time 0
//   image_width > 0 adds image [batch, image_length, image_width], features of one picture, or of
//        the first and last one joined (image_positions: their number)
// Weights carry the names of the original checkpoints, convolutions channels last; a block's result
// is "blocks.N.output".
#pragma once

#include "graph/graph.h"

namespace zoetrope {

struct WanConfig {
  int64_t layers = 30, width = 1536, heads = 12, ffn = 8960;
  int64_t channels = 16;
  int64_t text_width = 4096;
  int64_t time_features = 256;
  double epsilon = 1e-6;
  bool cross_attention_norm = true;  // an affine norm (norm3) before cross-attention
  bool qk_norm = true;               // RMSNorm of q and k over the full width
  enum class Conditioning { kNone, kChannels, kFrames } conditioning = Conditioning::kNone;
  int64_t mask_channels = 4;    // of kChannels
  int64_t image_width = 0;      // 0: no picture is looked at
  int64_t image_positions = 0;  // learned positions of its features; 0: none

  int64_t input_channels() const {
    return conditioning == Conditioning::kChannels ? 2 * channels + mask_channels : channels;
  }
};

inline WanConfig wan_1_3b() { return {}; }
inline WanConfig wan_14b() { return {.layers = 40, .width = 5120, .heads = 40, .ffn = 13824}; }
WanConfig wan_i2v_14b();    // 2.1: known channels and a picture's features
WanConfig wan_flf2v_14b();  // 2.1: of two pictures
WanConfig wan_i2v_a14b();   // 2.2, each expert: known channels alone
WanConfig wan_ti2v_5b();    // 2.2

// Errors name what cannot be.
Result<Graph> build_wan_dit(const WanConfig& config);

}  // namespace zoetrope
