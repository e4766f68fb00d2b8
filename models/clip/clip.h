// CLIP's picture tower (arXiv 2103.00020), as transformers' CLIPVisionModel.
//   image [batch, image_size, image_size, 3] in [−1, 1]
//   → features [batch, (image_size / patch)² + 1, width], the class token first: hidden states
//     before the last `left_out` layers, without the final norm
//   → with a projection, in their place embedding [batch, projection]: the class token behind all
//     layers, normed and projected, as CLIPVisionModelWithProjection's image_embeds
// Weights carry transformers' names without "vision_model.", but self_attn.qkv is q_proj, k_proj
// and v_proj joined; a layer's result is "encoder.layers.N.output".
#pragma once

#include <array>

#include "graph/graph.h"

namespace zoetrope {

struct ClipVisionConfig {
  int64_t width = 1280, layers = 32, heads = 16, ffn = 5120, patch = 14, image_size = 224;
  int64_t left_out = 1;
  int64_t projection = 0;  // 0: none
  double epsilon = 1e-5;
  enum class Activation { kGelu, kQuickGelu } activation = Activation::kGelu;
  // Of pixels in [0, 1], a channel.
  std::array<double, 3> mean{0.48145466, 0.4578275, 0.40821073};
  std::array<double, 3> deviation{0.26862954, 0.26130258, 0.27577711};
};

inline ClipVisionConfig clip_vit_h_14() { return {}; }

Result<Graph> build_clip_vision(const ClipVisionConfig& config);

}  // namespace zoetrope
