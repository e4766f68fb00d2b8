// Layers of LTX-2's autoencoder of sound, over spectrograms.
#pragma once

#include <string>

#include "graph/builder.h"

namespace zoetrope::ltx2 {

// [batch, t, f, c]
struct Mel {
  ValueId value;
  Dim t;
  int64_t f, c;
};

// Causal in time: all padding is before. `stride` 2 halves both, and pads bins behind alone.
Mel mel_conv(Builder& b, std::string_view name, const Mel& x, int64_t channels, int64_t kernel = 3,
             int64_t stride = 1);
Mel mel_norm_silu(Builder& b, Mel x);
// Its result is "<name>.output".
Mel mel_residual(Builder& b, const std::string& name, Mel x, int64_t channels);

}  // namespace zoetrope::ltx2
