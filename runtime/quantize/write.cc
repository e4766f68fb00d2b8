#include "runtime/quantize/write.h"

#include <set>

namespace zoetrope {
namespace {

std::set<std::string> weight_names(const std::vector<Graph>& components) {
  std::set<std::string> names;
  for (const Graph& graph : components)
    for (ValueId id : graph.weights()) names.insert(graph.value(id).name);
  return names;
}

}  // namespace

Status write_quantized(const ModelFile& file, const QuantizedModel& model,
                       const WeightSource& weights, const std::string& output,
                       const WriteProgress& progress) {
  std::set<std::string> stored;  // anew
  for (const QuantizedWeight& weight : model.weights) {
    stored.insert(weight.values);
    if (!weight.scale.empty()) stored.insert(weight.scale);
  }
  std::vector<TensorSource> tensors;
  for (const std::string& name : weight_names(model.info.components)) {
    TensorSource source;
    source.name = name;
    ZT_ASSIGN_OR_RETURN(source.type, weights.type(name));
    if (!stored.contains(name))
      if (const TensorEntry* entry = file.find_tensor(name)) source.synthetic = entry->synthetic;
    source.load = [&weights, name] { return weights.load(name); };
    tensors.push_back(std::move(source));
  }
  return write_model(output, model.info, std::move(tensors), progress);
}

Result<int64_t> stored_bytes(const std::vector<Graph>& components, const WeightSource& weights) {
  int64_t total = 0;
  for (const std::string& name : weight_names(components)) {
    ZT_ASSIGN_OR_RETURN(const TensorType type, weights.type(name));
    total += type.bytes();
  }
  return total;
}

}  // namespace zoetrope
