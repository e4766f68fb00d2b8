#include "runtime/component.h"

#include <optional>

#include "runtime/plan/estimate.h"
#include "runtime/plan/streaming.h"

namespace zoetrope {

Result<Plan> compile_component(const Graph& graph, const WeightSource& weights, Device& device,
                               const CompileOptions& options, Device* host) {
  PassOptions passes;
  passes.compute = options.compute;
  passes.fuse = options.fuse;
  passes.narrow_states = options.narrow_states;
  passes.observer = options.after_pass;
  passes.storage = [&](std::string_view name) -> Result<DType> {
    ZT_ASSIGN_OR_RETURN(const TensorType type, weights.type(name));
    return type.dtype;
  };
  ZT_ASSIGN_OR_RETURN(Graph bound, bind(graph, options.bindings));
  for (const ValueId input : bound.inputs)
    if (options.changing.contains(bound.value(input).name)) bound.value(input).rate = Rate::kStep;
  ZT_ASSIGN_OR_RETURN(const Graph optimised, run_passes(std::move(bound), passes));
  ZT_ASSIGN_OR_RETURN(Plan plan, make_plan_within(optimised, device, options.bindings, host,
                                                  options.memory_budget));
  if (options.memory_budget > 0) stream_weights(&plan, device, options.memory_budget);
  const DeviceTimes told(device.info());
  std::optional<DeviceTimes> host_told;
  if (host != nullptr) host_told.emplace(host->info());
  const DeviceTimes* const of_host = options.host_times != nullptr ? options.host_times
                                     : host != nullptr             ? &*host_told
                                                                   : nullptr;
  estimate_seconds(options.times != nullptr ? *options.times : told, of_host, device.info(), &plan);
  return plan;
}

}  // namespace zoetrope
