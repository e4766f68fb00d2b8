#include "runtime/plan/estimate.h"

#include <algorithm>

namespace zoetrope {
namespace {

// 0 where the device does not tell its rates.
double seconds_of(const PlanCall& call, bool narrow, const Device& device, const Device* host) {
  const DeviceInfo& info = call.on_host ? host->info() : device.info();
  const double rate = narrow ? info.flops_bf16 : info.flops_f32;
  if (rate <= 0 || info.bytes_per_second <= 0) return 0;
  double seconds = std::max(call.cost.flops / rate, call.cost.bytes / info.bytes_per_second);
  if (const double bus = device.info().upload_bytes_per_second; bus > 0)
    for (const auto& copies : {call.fetched, call.given})
      for (const HostCopy& copy : copies) seconds += static_cast<double>(copy.host.bytes) / bus;
  return seconds;
}

}  // namespace

void estimate(const Device& device, const Device* host, Plan* plan) {
  for (PlanCall& call : plan->calls) {
    const Node& node = plan->graph.nodes[static_cast<size_t>(call.node)];
    std::vector<const TensorType*> inputs;
    for (ValueId id : node.inputs)
      inputs.push_back(id == kNone ? nullptr : &plan->graph.value(id).type);
    std::vector<TensorType> outputs;
    bool narrow = false;
    for (ValueId id : node.outputs) {
      outputs.push_back(plan->graph.value(id).type);
      narrow |= outputs.back().dtype == DType::kBF16 || outputs.back().dtype == DType::kF16;
    }
    call.cost = node_cost(op_def(node.op), OpContext{inputs, node.attrs}, outputs);
    Cost& phase = plan->phase_cost[static_cast<size_t>(call.rate)];
    phase.flops += call.cost.flops;
    phase.bytes += call.cost.bytes;
    if (call.rate >= Rate::kTimestep)
      plan->estimated_step_seconds += seconds_of(call, narrow, device, host);
  }
}

}  // namespace zoetrope
