// Split by rate: how often each value can change, and rewrites that let less change often.
#pragma once

#include <array>
#include <string>

#include "graph/graph.h"

namespace zoetrope {

// Rates follow the data: a node runs as often as its fastest input changes. Where slow and fast
// rows are concatenated and then multiplied by a weight (text tokens in front of video tokens),
// that rule alone would run the slow rows every step; here the product is taken apart again, with
// whatever stands between the concat and it: matmul(f(concat(a, b))) → concat(matmul(f(a)),
// matmul(f(b))). Only along rows, so that no sum is split, and only where the rows saved outweigh
// the copy; products of 8-bit
// numbers (quantize_rows, quantized_matmul) likewise. Bound graphs only.
Result<Graph> split_by_rate(const Graph& graph);

struct RateReport {
  std::array<Cost, kRateCount> cost{};
  std::array<int, kRateCount> nodes{};

  double flops() const;
  // Of all FLOPs, the share at this rate; 0 where there are none.
  double share(Rate rate) const;
  // "step 97.1% (1.2e+10 FLOP, 310 nodes), clip 2.5% ..."; rates without nodes are left out.
  std::string to_string() const;
};

RateReport rate_report(const Graph& graph);

}  // namespace zoetrope
