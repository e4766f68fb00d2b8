// Low-rank updates of weights (LoRA, arXiv 2106.09685), made as weights are loaded.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "graph/weights.h"

namespace zoetrope {

// tensor[first_row + i, j] += scale · Σ_r up[i, r] · down[r, j], where a tensor's dimensions after
// the first are one, in the tensor's own order. Of rank 0: += scale · added[i, j].
struct LowRankUpdate {
  std::string tensor;
  int64_t first_row = 0;  // joined q, k and v are updated in parts
  int64_t rows = 0, rank = 0, columns = 0;
  std::vector<float> up = {};    // [rows, rank]
  std::vector<float> down = {};  // [rank, columns]
  double scale = 1;              // strength · alpha / rank
  WeightData added = {};         // floats [rows, columns]; its owner keeps them
};

// A source with updates. Sums are f32, rounded once to the tensor's dtype, however many updates it
// has; they do not depend on the number of threads.
class AdaptedWeights : public WeightSource {
 public:
  // `base` must outlive it. `revision` names the updates: equal names, equal updates. Errors name a
  // tensor that the base lacks, that is not of floats, or that an update does not fit.
  static Result<std::unique_ptr<AdaptedWeights>> create(const WeightSource& base,
                                                        std::vector<LowRankUpdate> updates,
                                                        std::string revision);

  Result<TensorType> type(std::string_view name) const override { return base_.type(name); }
  Result<WeightData> load(std::string_view name) const override;
  std::string revision(std::string_view name) const override;
  int64_t made_bytes(std::string_view name) const override;

 private:
  AdaptedWeights(const WeightSource& base, std::string revision)
      : base_(base), revision_(std::move(revision)) {}

  const WeightSource& base_;
  const std::string revision_;
  std::map<std::string, std::vector<LowRankUpdate>, std::less<>> updates_;  // by tensor
};

}  // namespace zoetrope
