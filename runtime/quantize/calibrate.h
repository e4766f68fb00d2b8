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
// their trace. Sums take a GiB at most: blocks of columns are as wide as that allows. Of sequences
// that several streams were joined to (picture and sound), each counts by the third root of its
// length, between what serves the long one (its length) and the short one (all alike).
class GatherMoments : public CallTrace {
 public:
  explicit GatherMoments(const std::vector<QuantizedWeight>& weights);

  // A clip's first runs compute what the others of it reuse: they are never left out.
  void begin_clip() { clip_runs_.clear(); }

  bool begin_run(const Plan& plan) override;
  Status call(const TracedCall& traced, const std::function<Status()>& run) override;

  const WeightMoments& moments() const { return moments_; }

 private:
  Status gather(const TracedCall& traced, const Value& x, int64_t turn, RowMoments* moments);

  WeightMoments moments_;
  // Calls seen so far, by the one weight that is looked at of all that multiply the same rows.
  std::map<std::string, int64_t, std::less<>> calls_;
  std::map<std::string, int64_t> runs_, clip_runs_;  // by component and shapes of inputs
};

// Lengths of the parts that the graph joins to sequences of as many rows; empty: it joins none, or
// of different parts, so that their lengths do not tell which of them rows came of.
std::vector<int64_t> streams_of(const Graph& graph, const Shape& rows);

// Indices of `count` rows at most, of `rows` that are sequences joined of `streams` rows each
// (empty: of one): of each stream by the third root of its length, evenly spread from a place that
// `turn` moves.
std::vector<int64_t> spread_rows(int64_t rows, const std::vector<int64_t>& streams, int64_t count,
                                 int64_t turn);

}  // namespace zoetrope
