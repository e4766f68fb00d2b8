// What the original's products see while it makes clips, for rounding that makes up for itself.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "graph/compensate.h"
#include "graph/passes/quantize.h"
#include "runtime/plan/trace.h"

namespace zoetrope {

// Gathers moments of the rows that products multiply by the weights of kInt4; give it to runs as
// their trace. Sums take a GiB at most: blocks of columns are as wide as that allows.
class GatherMoments : public CallTrace {
 public:
  explicit GatherMoments(const std::vector<QuantizedWeight>& weights);

  // A clip's first runs compute what the others of it reuse: they are never left out.
  void begin_clip() { clip_runs_.clear(); }

  bool begin_run(const Plan& plan) override;
  Status call(const TracedCall& traced, const std::function<Status()>& run) override;

  const WeightMoments& moments() const { return moments_; }

 private:
  Status gather(const TracedCall& traced, const Value& x, RowMoments* moments);

  WeightMoments moments_;
  std::map<std::string, int64_t> runs_, clip_runs_;  // by component and shapes of inputs
  int64_t calls_ = 0;
};

}  // namespace zoetrope
