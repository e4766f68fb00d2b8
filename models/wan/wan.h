// Wan 2.1 text-to-video DiT (facts from Wan-Video/Wan2.1, wan/modules/model.py).
//   dit  video [batch, frames, height, width, 16] (latent sizes, height and width even),
//        time [batch] in [0, 1], text [batch, text_length, 4096] (padding zeroed, not masked)
//        → video_velocity, shaped as video
// Weights carry the names of the original checkpoints; patch_embedding.weight is [C, 1, 2, 2, 16].
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
};

inline WanConfig wan_1_3b() { return {}; }
inline WanConfig wan_14b() { return {.layers = 40, .width = 5120, .heads = 40, .ffn = 13824}; }

// Errors name what cannot be.
Result<Graph> build_wan_dit(const WanConfig& config);

}  // namespace zoetrope
