// Layers that the text encoder and the DiT share (models/toybox/train/layers.py).
#pragma once

#include <string_view>
#include <vector>

#include "graph/builder.h"

namespace zoetrope::toybox {

// down(silu(gate x) · (up x)) under scope `name`; no biases.
ValueId swiglu(Builder& b, std::string_view name, ValueId x, int64_t width, int64_t hidden);

struct AttentionSpec {
  int64_t width, head_dim, context_width;
  double epsilon;
  ValueId cos = kNone, sin = kNone;   // [1, N, 1, head_dim/2]; absent: no rotation
  ValueId key_lengths = kNone;        // i32 [batch]
  Dim query_length, key_length;
};
// Multi-head attention with q and k RMS-normalised over each head. x [B, N, C], context [B, M, Cc].
ValueId attention(Builder& b, std::string_view name, ValueId x, ValueId context,
                  const AttentionSpec& spec);

// theta^(−i / pairs) for i = 0..pairs−1: [pairs]
ValueId rope_frequencies(Builder& b, int64_t pairs, double theta);
// positions [N] × frequencies [P] → angles [N, P]
ValueId outer(Builder& b, ValueId positions, ValueId frequencies, Dim length, int64_t pairs);

}  // namespace zoetrope::toybox
