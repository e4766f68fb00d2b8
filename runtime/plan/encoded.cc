// Which weights of a plan stay in the few bits in which they are stored, under a budget.
#include <algorithm>
#include <set>

#include "runtime/plan/planner.h"

namespace zoetrope {
namespace {

constexpr int64_t kParts = 16;  // the share that stays is found to a part: each try is a plan

// Weights that no file has in the order in which they should stay encoded: those that are used once
// a clip, then the others, each in the order of last use (calls come by rate: the last has the
// highest).
std::vector<std::string> in_order(const Plan& plan) {
  std::vector<std::string> once, often;
  std::vector<bool> known(plan.weights.size(), false);
  for (auto call = plan.calls.rbegin(); call != plan.calls.rend(); ++call)
    for (const TensorRef& ref : call->inputs) {
      if (ref.space != Space::kWeight || known[static_cast<size_t>(ref.weight)]) continue;
      known[static_cast<size_t>(ref.weight)] = true;
      const std::string& name =
          plan.graph.value(plan.weights[static_cast<size_t>(ref.weight)].value).name;
      if (find_derived(plan, name) != nullptr)
        (call->rate < Rate::kTimestep ? once : often).push_back(name);
    }
  std::reverse(once.begin(), once.end());
  once.insert(once.end(), often.rbegin(), often.rend());
  return once;
}

}  // namespace

Result<Plan> make_plan_within(const Graph& graph, Device& device, const Bindings& bindings,
                              Device* host, int64_t budget) {
  ZT_ASSIGN_OR_RETURN(Plan plan, make_plan(graph, device, bindings, host));
  const auto fits = [&](const Plan& p) { return p.memory.total_bytes() <= budget; };
  if (budget <= 0 || fits(plan) || plan.derived.empty()) return plan;
  const std::vector<std::string> names = in_order(plan);
  const auto with = [&](int64_t parts) {
    const auto end =
        names.begin() + static_cast<ptrdiff_t>(static_cast<int64_t>(names.size()) * parts / kParts);
    const std::set<std::string_view> staying(names.begin(), end);
    return make_plan(graph, device, bindings, host,
                     [&](const DerivedWeight& w) { return staying.contains(w.name); });
  };
  ZT_ASSIGN_OR_RETURN(Plan least, with(kParts));
  if (!fits(least))
    return least.memory.total_bytes() < plan.memory.total_bytes() ? std::move(least)
                                                                  : std::move(plan);
  int64_t enough = kParts, few = 0;
  while (enough - few > 1) {
    const int64_t parts = (enough + few) / 2;
    ZT_ASSIGN_OR_RETURN(Plan tried, with(parts));
    if (fits(tried)) {
      enough = parts;
      least = std::move(tried);
    } else {
      few = parts;
    }
  }
  return least;
}

EncodedWeights encoded_weights(const Plan& plan) {
  EncodedWeights all;
  std::set<ValueId> counted;
  for (const PlanCall& call : plan.calls) {
    const Node& node = plan.graph.nodes[static_cast<size_t>(call.node)];
    if (!expands_weights(plan.graph, node)) continue;
    if (call.rate >= Rate::kTimestep) all.step_seconds += call.seconds;
    if (!counted.insert(node.inputs[0]).second) continue;
    ++all.count;
    all.expanded_bytes += plan.graph.value(node.outputs[0]).type.bytes();
    for (ValueId id : node.inputs)
      if (id != kNone) all.stored_bytes += plan.graph.value(id).type.bytes();
  }
  return all;
}

}  // namespace zoetrope
