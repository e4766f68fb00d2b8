// Rotary tables of LTX-2: angles (2·p − 1)·f, where p is a position as a fraction of the longest
// and f = π/2 · θ^linspace(0, 1), over a stream's whole width, which the heads divide among them.
#pragma once

#include "graph/builder.h"
#include "models/layers.h"

namespace zoetrope::ltx2 {

// positions: one [n] for each axis, each already spread over the tokens: [tokens] in [0, 1].
// Tables [1, tokens, heads, width / heads / 2]. Frequencies alternate between the axes; what does
// not divide evenly stays unturned, in front.
layers::RopeTables rope_tables(Builder& b, const std::vector<ValueId>& positions, const Dim& tokens,
                               int64_t width, int64_t heads, double theta);

}  // namespace zoetrope::ltx2
