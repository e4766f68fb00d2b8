#include "converters/weight_map.h"

#include <algorithm>
#include <cstring>
#include <set>

namespace zoetrope {
namespace {

// Copies `source` of shape `from` into `target` with its axes permuted.
void permute(const uint8_t* source, const Shape& from, std::span<const int> permutation,
             int64_t element_bytes, uint8_t* target) {
  const int rank = from.rank();
  std::vector<int64_t> stride(static_cast<size_t>(rank), element_bytes);
  for (int i = rank - 2; i >= 0; --i)
    stride[static_cast<size_t>(i)] = stride[static_cast<size_t>(i) + 1] * from[i + 1];
  std::vector<int64_t> dims, steps, index(static_cast<size_t>(rank), 0);
  for (int axis : permutation) {
    dims.push_back(from[axis]);
    steps.push_back(stride[static_cast<size_t>(axis)]);
  }
  int64_t offset = 0;
  for (int64_t n = from.elements(); n > 0; --n, target += element_bytes) {
    std::memcpy(target, source + offset, static_cast<size_t>(element_bytes));
    for (int i = rank - 1; i >= 0; --i) {
      const auto k = static_cast<size_t>(i);
      offset += steps[k];
      if (++index[k] < dims[k]) break;
      offset -= steps[k] * dims[k];
      index[k] = 0;
    }
  }
}

// Which values are read as the filters of a convolution.
std::vector<bool> convolution_filters(const Graph& graph) {
  std::vector<bool> filters(graph.values.size(), false);
  for (const Node& node : graph.nodes)
    if (node.op == OpKind::kConv || node.op == OpKind::kConvTranspose)
      filters[static_cast<size_t>(node.inputs[1])] = true;
  return filters;
}

}  // namespace

std::vector<int> channels_last_permutation(int rank) {
  std::vector<int> permutation;
  if (rank < 3) return permutation;
  permutation.push_back(0);
  for (int axis = 2; axis < rank; ++axis) permutation.push_back(axis);
  permutation.push_back(1);
  return permutation;
}

Result<WeightMap> WeightMap::create(const Checkpoint& checkpoint, const std::vector<Graph>& graphs,
                                    const std::function<std::string(const std::string&)>& key_of) {
  WeightMap map;
  map.checkpoint_ = &checkpoint;
  for (const Graph& graph : graphs) {
    const std::vector<bool> is_filter = convolution_filters(graph);
    for (ValueId id : graph.weights()) {
      const Value& weight = graph.value(id);
      if (map.rules_.contains(weight.name)) continue;
      WeightRule rule;
      rule.key = key_of(weight.name);
      for (const Dim& dim : weight.dims) rule.shape.push_back(dim.constant());
      auto type = checkpoint.type(rule.key);
      if (!type.ok()) return type.status().with_context(str("weight '", weight.name, "' of ", graph.name));
      if (is_filter[static_cast<size_t>(id)])
        rule.permutation = channels_last_permutation(type->shape.rank());
      // Axes of one may come and go; what is left after the permutation must agree.
      std::vector<int64_t> have, want;
      for (int i = 0; i < type->shape.rank(); ++i) {
        const int64_t d = type->shape[rule.permutation.empty() ? i : rule.permutation[static_cast<size_t>(i)]];
        if (d != 1) have.push_back(d);
      }
      for (int64_t d : rule.shape)
        if (d != 1) want.push_back(d);
      if (have != want)
        return error(Code::kDataLoss, checkpoint.path(), ": tensor '", rule.key, "' is ",
                     type->to_string(), "; ", graph.name, " needs ", rule.shape.to_string(),
                     rule.permutation.empty() ? "" : " with channels last");
      map.rules_.emplace(weight.name, std::move(rule));
    }
  }
  return map;
}

std::vector<std::string> WeightMap::names() const {
  std::vector<std::string> names;
  for (const auto& [name, rule] : rules_) names.push_back(name);
  return names;
}

std::vector<std::string> WeightMap::unused() const {
  std::set<std::string> used;
  for (const auto& [name, rule] : rules_) used.insert(rule.key);
  std::vector<std::string> rest;
  for (const std::string& key : checkpoint_->names())
    if (!used.contains(key)) rest.push_back(key);
  std::sort(rest.begin(), rest.end());
  return rest;
}

Result<TensorType> WeightMap::type(std::string_view name) const {
  const auto it = rules_.find(name);
  if (it == rules_.end()) return error(Code::kNotFound, "no weight '", name, "'");
  ZT_ASSIGN_OR_RETURN(const TensorType stored, checkpoint_->type(it->second.key));
  return TensorType{stored.dtype, it->second.shape};
}

Result<WeightData> WeightMap::load(std::string_view name) const {
  const auto it = rules_.find(name);
  if (it == rules_.end()) return error(Code::kNotFound, "no weight '", name, "'");
  const WeightRule& rule = it->second;
  ZT_ASSIGN_OR_RETURN(WeightData data, checkpoint_->load(rule.key));
  if (!rule.permutation.empty()) {
    const int64_t bytes = data.type.bytes();
    auto buffer = std::make_shared<std::vector<uint8_t>>(static_cast<size_t>(bytes));
    permute(static_cast<const uint8_t*>(data.data), data.type.shape, rule.permutation,
            dtype_size(data.type.dtype), buffer->data());
    data.data = buffer->data();
    data.owner = std::move(buffer);
  }
  data.type.shape = rule.shape;
  return data;
}

}  // namespace zoetrope
