// Which layers to spare: each one's effect on the loss is measured alone, then the worst for their
// size get more bits until a target is met.
#pragma once

#include <string>
#include <vector>

#include "runtime/quantize/measure.h"
#include "runtime/quantize/rules.h"

namespace zoetrope {

struct SearchTargets {
  double psnr = 0;  // decibels that clips must reach; 0: none
  double size = 0;  // share of the original's bytes that tensors may take; 0: none
};

struct SearchResult {
  QuantizeRules rules;                              // with the layers that are spared
  std::vector<QuantizeReport::Sensitivity> layers;  // worst first
};

// With a target of size alone, as many layers are spared as fit; with one of PSNR, as few as
// reach it (found by bisection: each try makes the clips). An error where no choice meets them.
Result<SearchResult> search_layers(const ModelFile& file, const QuantizeRules& rules,
                                   const SearchTargets& targets, const WeightMoments* moments,
                                   Measure& measure, const MeasureProgress& progress);

}  // namespace zoetrope
