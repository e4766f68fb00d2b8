// Weights that a checkpoint holds in fewer bits stay so: graphs read them through dequantize.
#pragma once

#include <map>
#include <string>

#include "graph/graph.h"
#include "graph/weights.h"

namespace zoetrope {

// A source that also has the parts of encoded tensors, under names of their own.
class EncodedWeights : public WeightSource {
 public:
  // `base` must outlive it.
  explicit EncodedWeights(const WeightSource& base) : base_(base) {}

  // The graph with every weight that `base` has encoded replaced by its numbers.
  Result<Graph> read(const Graph& graph);

  Result<TensorType> type(std::string_view name) const override;
  Result<WeightData> load(std::string_view name) const override;

  // Tensors that stay in 4 and in 8 bits.
  int64_t narrow() const { return narrow_; }
  int64_t bytes() const { return bytes_; }

 private:
  struct Part {
    std::string weight;
    EncodedPart part;
    TensorType type;
  };
  const WeightSource& base_;
  std::map<std::string, Part, std::less<>> parts_;
  int64_t narrow_ = 0, bytes_ = 0;
};

}  // namespace zoetrope
