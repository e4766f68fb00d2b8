// LTX-2's transformer with the adapter that distils it, for the steps of a second stage.
#pragma once

#include <memory>
#include <vector>

#include "converters/convert.h"
#include "converters/weight_map.h"
#include "graph/low_rank.h"
#include "models/ltx2/dit.h"

namespace zoetrope {

inline constexpr const char* kLtx2Refiner = "dit_refining";

struct Ltx2Refiner {
  std::vector<Graph> graphs;
  std::unique_ptr<AdaptedWeights> weights;
};

// The text's graphs, where there are any, and their weights.
struct Ltx2TextPart {
  const std::vector<Graph>& graphs;
  const WeightSource* weights;
};

// Without key frames, and with them where it knows latents.
Status build_ltx2_transformers(Ltx2Config config, std::vector<Graph>* graphs);

// `dit`, the weights of the first stage's transformer, must outlive it. Lightricks' pipeline
// encodes the prompt once: what the adapter has for the text is left out, with a notice.
Result<Ltx2Refiner> read_ltx2_refiner(const ConvertOptions& options, Ltx2Config config,
                                      const WeightMap& dit, const Ltx2TextPart& text);

}  // namespace zoetrope
