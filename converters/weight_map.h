// The weights of a model's graphs, read from a checkpoint: renamed, and permuted into our layouts.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "converters/checkpoint.h"
#include "graph/graph.h"

namespace zoetrope {

// How one graph weight is made from tensors of the checkpoint.
struct WeightRule {
  std::vector<std::string> keys;  // their names; several are joined along the first axis
  std::vector<int> permutation;   // of the checkpoint's axes; empty: as they are
  Shape shape;                    // the graph's; same number of elements after the permutation
};

// [O, I, k...] → [O, k..., I]: filters of convolutions; of transposed ones [I, O, k...].
std::vector<int> channels_last_permutation(int rank, bool transposed = false);

class WeightMap : public WeightSource {
 public:
  // One rule a graph weight. `key_of` gives the checkpoint's key of a weight's name; empty: another
  // map has it. Errors name a tensor that is missing, or whose size does not fit.
  static Result<WeightMap> create(const Checkpoint& checkpoint, const std::vector<Graph>& graphs,
                                  const std::function<std::string(const std::string&)>& key_of);

  // As create; a weight with several keys is those tensors joined along the first axis (q, k and
  // v).
  static Result<WeightMap> create_joined(
      const Checkpoint& checkpoint, const std::vector<Graph>& graphs,
      const std::function<std::vector<std::string>(const std::string&)>& keys_of);

  // Weight names, sorted.
  std::vector<std::string> names() const;
  // Keys of the checkpoint that no rule uses, also of tensors that cannot be read; sorted.
  std::vector<std::string> unused() const;
  std::set<std::string> used() const;
  bool contains(std::string_view name) const { return rules_.contains(name); }

  Result<TensorType> type(std::string_view name) const override;
  Result<WeightData> load(std::string_view name) const override;
  // Of weights that are one tensor as it lies in the checkpoint.
  std::optional<EncodedLayout> encoded(std::string_view name) const override;
  Result<WeightData> load_part(std::string_view name, EncodedPart part) const override;

 private:
  Result<WeightData> load_joined(const WeightRule& rule) const;

  const Checkpoint* checkpoint_ = nullptr;
  std::map<std::string, WeightRule, std::less<>> rules_;
};

}  // namespace zoetrope
