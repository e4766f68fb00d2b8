// What a plan's calls cost: work, traffic, and time at the rates that devices tell of themselves.
#pragma once

#include "runtime/plan/plan.h"

namespace zoetrope {

// Sets cost, phase_cost and estimated_step_seconds. `host` runs what is on_host; null: nothing is.
void estimate(const Device& device, const Device* host, Plan* plan);

}  // namespace zoetrope
