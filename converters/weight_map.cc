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

// Which values are read as the filters of a convolution: PyTorch's are [O, I, k...], and [I, O,
// k...] of transposed ones.
std::vector<OpKind> filter_readers(const Graph& graph) {
  std::vector<OpKind> readers(graph.values.size(), OpKind::kFill);  // none
  for (const Node& node : graph.nodes)
    if (node.op == OpKind::kConv || node.op == OpKind::kConvTranspose)
      readers[static_cast<size_t>(node.inputs[1])] = node.op;
  return readers;
}

}  // namespace

std::vector<int> channels_last_permutation(int rank, bool transposed) {
  std::vector<int> permutation;
  if (rank < 3) return permutation;
  permutation.push_back(transposed ? 1 : 0);
  for (int axis = 2; axis < rank; ++axis) permutation.push_back(axis);
  permutation.push_back(transposed ? 0 : 1);
  return permutation;
}

namespace {

// The type of the joined tensors, in the checkpoint's layout.
Result<TensorType> joined_type(const Checkpoint& checkpoint, const std::vector<std::string>& keys) {
  ZT_ASSIGN_OR_RETURN(TensorType type, checkpoint.type(keys.front()));
  for (size_t i = 1; i < keys.size(); ++i) {
    ZT_ASSIGN_OR_RETURN(const TensorType part, checkpoint.type(keys[i]));
    bool fits =
        part.dtype == type.dtype && part.shape.rank() == type.shape.rank() && part.shape.rank() > 0;
    for (int axis = 1; fits && axis < part.shape.rank(); ++axis)
      fits = part.shape[axis] == type.shape[axis];
    if (!fits)
      return error(Code::kDataLoss, checkpoint.path(), ": tensor '", keys[i], "' is ",
                   part.to_string(), " and cannot be joined with '", keys.front(), "', ",
                   type.to_string());
    type.shape[0] += part.shape[0];
  }
  return type;
}

// Axes of one may come and go; what is left after the permutation must agree.
bool same_but_ones(const Shape& stored, const std::vector<int>& permutation, const Shape& wanted) {
  std::vector<int64_t> have, want;
  for (int i = 0; i < stored.rank(); ++i) {
    const int64_t d = stored[permutation.empty() ? i : permutation[static_cast<size_t>(i)]];
    if (d != 1) have.push_back(d);
  }
  for (const int64_t d : wanted)
    if (d != 1) want.push_back(d);
  return have == want;
}

}  // namespace

Result<WeightMap> WeightMap::create(const Checkpoint& checkpoint, const std::vector<Graph>& graphs,
                                    const std::function<std::string(const std::string&)>& key_of) {
  return create_joined(checkpoint, graphs, [&](const std::string& name) {
    const std::string key = key_of(name);
    return key.empty() ? std::vector<std::string>() : std::vector<std::string>{key};
  });
}

Result<WeightMap> WeightMap::create_joined(
    const Checkpoint& checkpoint, const std::vector<Graph>& graphs,
    const std::function<std::vector<std::string>(const std::string&)>& keys_of) {
  WeightMap map;
  map.checkpoint_ = &checkpoint;
  for (const Graph& graph : graphs) {
    const std::vector<OpKind> readers = filter_readers(graph);
    for (ValueId id : graph.weights()) {
      const Value& weight = graph.value(id);
      if (map.rules_.contains(weight.name)) continue;
      WeightRule rule;
      rule.keys = keys_of(weight.name);
      if (rule.keys.empty()) continue;
      for (const Dim& dim : weight.dims) rule.shape.push_back(dim.constant());
      auto type = joined_type(checkpoint, rule.keys);
      if (!type.ok())
        return type.status().with_context(str("weight '", weight.name, "' of ", graph.name));
      if (is_float(weight.type.dtype) && !is_float(type->dtype))
        return error(Code::kUnsupported, checkpoint.path(), ": tensor '", rule.keys.front(),
                     "' is ", type->to_string(), "; ", graph.name, " needs floats here");
      if (const OpKind reader = readers[static_cast<size_t>(id)]; reader != OpKind::kFill)
        rule.permutation =
            channels_last_permutation(type->shape.rank(), reader == OpKind::kConvTranspose);
      if (!same_but_ones(type->shape, rule.permutation, rule.shape))
        return error(Code::kDataLoss, checkpoint.path(), ": tensor '", rule.keys.front(), "' is ",
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

std::set<std::string> WeightMap::used() const {
  std::set<std::string> used;
  for (const auto& [name, rule] : rules_) used.insert(rule.keys.begin(), rule.keys.end());
  return used;
}

std::vector<std::string> WeightMap::unused() const {
  const std::set<std::string> read = used();
  std::vector<std::string> rest;
  for (const std::string& key : checkpoint_->names())
    if (!read.contains(key)) rest.push_back(key);
  for (const auto& [key, other] : checkpoint_->unreadable())
    if (other.is_tensor) rest.push_back(key);
  std::sort(rest.begin(), rest.end());
  return rest;
}

Result<TensorType> WeightMap::type(std::string_view name) const {
  const auto it = rules_.find(name);
  if (it == rules_.end()) return error(Code::kNotFound, "no weight '", name, "'");
  ZT_ASSIGN_OR_RETURN(const TensorType stored, checkpoint_->type(it->second.keys.front()));
  return TensorType{stored.dtype, it->second.shape};
}

Result<WeightData> WeightMap::load(std::string_view name) const {
  const auto it = rules_.find(name);
  if (it == rules_.end()) return error(Code::kNotFound, "no weight '", name, "'");
  const WeightRule& rule = it->second;
  ZT_ASSIGN_OR_RETURN(WeightData data, checkpoint_->load(rule.keys.front()));
  if (rule.keys.size() > 1) {
    ZT_ASSIGN_OR_RETURN(data, load_joined(rule));
  }
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

std::optional<EncodedLayout> WeightMap::encoded(std::string_view name) const {
  const auto it = rules_.find(name);
  if (it == rules_.end()) return std::nullopt;
  const WeightRule& rule = it->second;
  const auto stored = checkpoint_->type(rule.keys.front());
  if (!stored.ok() || rule.keys.size() != 1 || !rule.permutation.empty() || rule.shape.rank() < 2 ||
      stored->shape.rank() < 1 || stored->shape[0] != rule.shape[0])
    return std::nullopt;
  return checkpoint_->encoded(rule.keys.front());
}

Result<WeightData> WeightMap::load_part(std::string_view name, EncodedPart part) const {
  const auto it = rules_.find(name);
  if (it == rules_.end()) return error(Code::kNotFound, "no weight '", name, "'");
  return checkpoint_->load_part(it->second.keys.front(), part);
}

Result<WeightData> WeightMap::load_joined(const WeightRule& rule) const {
  ZT_ASSIGN_OR_RETURN(const TensorType type, joined_type(*checkpoint_, rule.keys));
  auto buffer = std::make_shared<std::vector<uint8_t>>();
  buffer->reserve(static_cast<size_t>(type.bytes()));
  for (const std::string& key : rule.keys) {
    ZT_ASSIGN_OR_RETURN(const WeightData part, checkpoint_->load(key));
    const auto* bytes = static_cast<const uint8_t*>(part.data);
    buffer->insert(buffer->end(), bytes, bytes + part.type.bytes());
  }
  return WeightData{type, buffer->data(), buffer};
}

}  // namespace zoetrope
