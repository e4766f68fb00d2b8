// CLIP's text tower (arXiv 2103.00020), as transformers' CLIPTextModel and
// CLIPTextModelWithProjection.
//   ids i32 [batch, text_length] → text [batch, text_length, width], hidden states before the last
//     `left_out` layers (0: behind the final norm); pooled [batch, width or projection]: the final
//     norm's row of the first `eos` (its projection)
// Weights carry transformers' names without "text_model.", but self_attn.qkv is q_proj, k_proj and
// v_proj joined; a layer's result is "encoder.layers.N.output".
#pragma once

#include "graph/graph.h"
#include "models/clip/clip.h"

namespace zoetrope {

struct ClipTextConfig {
  int64_t vocabulary = 49408, positions = 77, width = 768, layers = 12, heads = 12, ffn = 3072;
  int64_t projection = 0;  // 0: none
  int64_t left_out = 0;
  int64_t eos = 49407;  // every row has one
  double epsilon = 1e-5;
  using Activation = ClipVisionConfig::Activation;
  Activation activation = Activation::kQuickGelu;
};

inline ClipTextConfig clip_text_vit_l_14() { return {}; }
inline ClipTextConfig clip_text_vit_big_g_14() {
  return {.width = 1280,
          .layers = 32,
          .heads = 20,
          .ffn = 5120,
          .projection = 1280,
          .activation = ClipTextConfig::Activation::kGelu};
}

Result<Graph> build_clip_text(const ClipTextConfig& config);

}  // namespace zoetrope
