// The attention layer that LTX-2's transformer and its text connectors share.
#pragma once

#include "graph/builder.h"
#include "models/layers.h"

namespace zoetrope::ltx2 {

struct Attention {
  Dim batch;
  int64_t width, context_width;  // of queries' and keys' tokens
  int64_t heads, head_dim;       // inside
  double epsilon = 1e-6;         // of the norms of q and k, over all heads
  bool split_rope = true;
  layers::RopeTables query{kNone, kNone}, key{kNone, kNone};  // kNone: no rotation
  bool gated = false;
  bool bias = true, out_bias = true;
  // [batch, 1, 1, 1] of bool: rows of values alone, as if every token looked at itself; kNone:
  // none.
  ValueId skipped = kNone;
};

// x [batch, length, width], context [batch, keys, context_width] → [batch, length, width]. Weights
// norm_q, norm_k, to_q, to_k, to_v, to_out.0 and to_gate_logits under scope `name`.
ValueId attention(Builder& b, std::string_view name, ValueId x, const Dim& length, ValueId context,
                  const Dim& keys, const Attention& spec);

}  // namespace zoetrope::ltx2
