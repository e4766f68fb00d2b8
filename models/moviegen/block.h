// The block that Movie Gen's transformers share (arXiv 2410.13720, sections 3.1 and 6.1): RMSNorm,
// no biases, self-attention and feed-forward modulated by time, cross-attention between them.
#pragma once

#include "graph/builder.h"
#include "models/layers.h"

namespace zoetrope::moviegen {

struct Block {
  int64_t width, heads, ffn;
  double epsilon;
  bool gated = true;                      // SwiGLU; else GELU between two matrices
  layers::RopeTables rope{kNone, kNone};  // none: no rotation
  Dim tokens, context_length;
  ValueId context = kNone;     // [batch, context_length, width]
  ValueId modulation = kNone;  // [batch, 6, width], to which a block adds its own
};

// Modulation of all blocks by time, [batch]: [batch, 6, width], and what it is made of, [batch,
// width], to which `more` is added.
struct Time {
  ValueId embedding, modulation;
};
Time embed_time(Builder& b, ValueId time, const Dim& batch, int64_t features, int64_t width,
                ValueId more = kNone);

// x [batch, tokens, width], under the open scope.
ValueId block(Builder& b, ValueId x, const Block& spec);

// What comes out of the last block, normed and modulated by time, through "out" to `channels`.
ValueId head(Builder& b, ValueId x, const Time& time, const Dim& batch, int64_t width,
             int64_t channels, double epsilon);

}  // namespace zoetrope::moviegen
