// The text network of Qwen3 and Qwen3-VL (transformers' Qwen3VLTextModel) as a text encoder: the
// hidden state behind its last layer here, before any norm. Of pictures it knows nothing: among
// words alone Qwen3-VL's three rotary positions are one.
//   text_encoder  ids i32 [batch, text_length], lengths i32 [batch] (ids at and beyond a row's
//                 length are not seen, and what comes out there means nothing)
//                 → text [batch, text_length, width]
// Weights carry transformers' names, from "embed_tokens" down; layers are "layers.N.output".
#pragma once

#include "graph/graph.h"

namespace zoetrope {

struct Qwen3Config {
  int64_t vocabulary = 151936, width = 5120, layers = 64, ffn = 25600;
  int64_t heads = 64, key_heads = 8, head_dim = 128;
  double epsilon = 1e-6, theta = 5e6;
};

Qwen3Config qwen3_vl_32b();

Result<Graph> build_qwen3_text_encoder(const Qwen3Config& config);

}  // namespace zoetrope
