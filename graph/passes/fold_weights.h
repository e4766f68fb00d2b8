// Work that depends on weights alone, done once at conversion.
#pragma once

#include <string>
#include <vector>

#include "graph/graph.h"
#include "graph/weights.h"

namespace zoetrope {

// A new weight and the bound graph, of weights only, whose one output it is.
struct FoldedWeight {
  std::string name;
  TensorType type;
  Graph recipe;
};

struct FoldedGraph {
  Graph graph;  // reads the new weights instead
  std::vector<FoldedWeight> weights;
};

// For graphs as they are stored (symbols need not be bound). A node is folded when it depends on at
// least one weight, on constants without symbols, on nothing else, and is no larger than its inputs
// together (or 4096 elements): a folded model is never much larger than the naive one. The
// signature stays. Nothing is computed yet: weights may be larger than memory, and are made one by
// one.
Result<FoldedGraph> fold_weights(const Graph& graph);

// A source that also has the folded weights, computed in double by the ops' definitions when
// loaded.
class FoldedWeights : public WeightSource {
 public:
  // `base` and `folded` must outlive it.
  FoldedWeights(const WeightSource& base, const std::vector<FoldedWeight>& folded);

  Result<TensorType> type(std::string_view name) const override;
  Result<WeightData> load(std::string_view name) const override;
  std::optional<EncodedLayout> encoded(std::string_view name) const override {
    return find(name) == nullptr ? base_.encoded(name) : std::nullopt;
  }
  Result<WeightData> load_part(std::string_view name, EncodedPart part) const override {
    return base_.load_part(name, part);
  }

 private:
  const FoldedWeight* find(std::string_view name) const;

  const WeightSource& base_;
  std::vector<const FoldedWeight*> folded_;  // sorted by name
};

}  // namespace zoetrope
