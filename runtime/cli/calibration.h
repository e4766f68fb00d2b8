// What commands do about times of devices: `calibrate` itself, and the short one on first use.
#pragma once

#include <functional>

#include "runtime/engine/calibrate.h"
#include "runtime/engine/engine.h"

namespace zoetrope {

// The jobs of a plan that run on this device.
std::vector<CalibrationWork> work_on(const RequestPlan& plan, const EngineDevice& device);

// Every device that the plan uses and that nobody calibrated: about `seconds` each, with a line to
// standard error. Only where a person watches (standard error is a terminal, CI is not set), and
// not for automatic placement, which compares devices that must all be measured or none. True: plan
// again.
Result<bool> calibrate_on_first_use(const RequestPlan& plan, const Placement& placement,
                                    double seconds);

}  // namespace zoetrope
