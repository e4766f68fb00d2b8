#include "converters/adapters.h"

#include <set>

#include "converters/lora.h"

namespace zoetrope {
namespace {

using Components = std::map<std::string, Graph, std::less<>>;

// Of one component, or of all where `component` is empty.
std::vector<std::string> tensor_names(const Components& components, const std::string& component) {
  std::set<std::string> names;
  for (const auto& [name, graph] : components)
    if (component.empty() || name == component)
      for (ValueId id : graph.weights()) names.insert(graph.value(id).name);
  return {names.begin(), names.end()};
}

}  // namespace

Result<std::shared_ptr<const WeightSource>> adapt_weights(const Components& components,
                                                          std::string_view family,
                                                          const WeightSource& weights,
                                                          const std::vector<AdapterFile>& files) {
  if (files.empty()) return std::shared_ptr<const WeightSource>();
  std::vector<LowRankUpdate> updates;
  std::string revision;
  for (const AdapterFile& file : files) {
    if (!file.component.empty() && !components.contains(file.component))
      return error(Code::kInvalidArgument, "the adapter ", file.path, " is for '", file.component,
                   "', which this model does not have");
    const std::vector<std::string> names = tensor_names(components, file.component);
    ZT_ASSIGN_OR_RETURN(Lora lora, read_lora(file.path, family, names, weights));
    for (LowRankUpdate& update : lora.updates) {
      update.scale *= file.strength;
      updates.push_back(std::move(update));
    }
    revision += str(file.component, "=", lora.revision, "@", file.strength, ";");
  }
  ZT_ASSIGN_OR_RETURN(auto adapted, AdaptedWeights::create(weights, std::move(updates), revision));
  return std::shared_ptr<const WeightSource>(std::move(adapted));
}

}  // namespace zoetrope
