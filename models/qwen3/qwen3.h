// The text network of Qwen3 and Qwen3-VL (transformers' Qwen3VLTextModel) as a text encoder: the
// hidden state behind its last layer here, before any norm.
//   text_encoder  ids i32 [batch, text_length], lengths i32 [batch] (ids at and beyond a row's
//                 length are not seen, and what comes out there means nothing)
//                 → text [batch, text_length, width]
//   text_seeing   the same of words and pictures: features [1, places, (1 + deep) · width] as
//                 vision.h has them, reads i32 [batch, text_length] (0: a word; i: place i − 1 is
//                 read there) and positions [batch, text_length, 3], of time, rows and columns,
//                 which are one among words alone
// Weights carry transformers' names, from "embed_tokens" down; layers are "layers.N.output".
#pragma once

#include "graph/graph.h"

namespace zoetrope {

struct Qwen3Config {
  int64_t vocabulary = 151936, width = 5120, layers = 64, ffn = 25600;
  int64_t heads = 64, key_heads = 8, head_dim = 128;
  double epsilon = 1e-6, theta = 5e6;
  // Of pictures: the frequencies of rotary positions take turns, of time, of rows up to 3 times
  // their number and of columns likewise; and layers to which the places' features are added.
  int64_t row_turns = 20, column_turns = 20, deep = 3;
};

Qwen3Config qwen3_vl_32b();

Result<Graph> build_qwen3_text_encoder(const Qwen3Config& config);
Result<Graph> build_qwen3_text_seeing(const Qwen3Config& config);

}  // namespace zoetrope
