// LTX-2's text: all hidden states of a Gemma, joined, projected, and read by a small transformer
// for each stream (diffusers' pipelines/ltx2/connectors.py).
//   text_encoder  ids i32 [batch, text_length], lengths i32 [batch]
//       → text [batch, places, video width + sound width]
// What a prompt leaves of the places is filled with learned registers, so that every place is read.
// Gemma's weights carry transformers' names under "gemma.", the others diffusers' names.
#pragma once

#include "graph/graph.h"
#include "models/gemma/gemma.h"

namespace zoetrope {

struct Ltx2TextConfig {
  GemmaConfig gemma = gemma3_12b();
  int64_t places = 1024;  // a multiple of both numbers of registers; prompts are cut to it
  struct Connector {
    int64_t heads = 30, head_dim = 128, layers = 2, registers = 128;
    bool gated_attention = false;
    int64_t width() const { return heads * head_dim; }
  };
  Connector video, sound;
  // One projection of states that are normed over the whole prompt, or one a stream of states that
  // are normed token by token (2.3).
  bool projection_a_stream = false;
  bool projection_bias = false;
  int64_t longest = 4096;  // rotary positions are fractions of it
  double theta = 10000;
  bool split_rope = true;
};

Ltx2TextConfig ltx2_text();    // LTX-2
Ltx2TextConfig ltx2_3_text();  // LTX-2.3

// The projections' columns are ordered layer by layer (diffusers: channel by channel).
Result<Graph> build_ltx2_text_encoder(const Ltx2TextConfig& config);

}  // namespace zoetrope
