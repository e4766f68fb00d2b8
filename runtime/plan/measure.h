// Times single kernels and copies of a device, as plans use them.
#pragma once

#include <functional>

#include "runtime/plan/device_times.h"
#include "runtime/plan/plan.h"

namespace zoetrope {

struct KernelMeasure {
  double seconds = 0;         // one call in a sequence of many, each after the one before
  double run_seconds = 0;     // submitting a sequence and waiting for it, beyond its calls
  double create_seconds = 0;  // making the kernel again, when its code is there and is loaded
  double first_seconds = 0;   // beyond that and a run: what only the first one in a process takes
  double record_seconds = 0;  // a call's share of making a sequence ready
  double pack_seconds = 0;    // of `packed_bytes`
  double packed_bytes = 0;
};

struct MeasureOptions {
  double seconds = 0.25;     // about how long it may take, when one call is much shorter
  int64_t memory_bytes = 0;  // most that operands may take on the device
};

// On operands of noise that take turns, as in a network one layer's weights follow another's.
// kResourceExhausted where the operands do not fit.
Result<KernelMeasure> measure_kernel(Device& device, const KernelRequest& request,
                                     const MeasureOptions& options);

// Seconds of a run of the plan's calls of one rate, again and again, on made up numbers;
// kUnsupported of plans that stream weights or run calls on the host.
Result<double> measure_phase(Device& device, const Plan& plan, Rate rate,
                             const MeasureOptions& options);

// What only the first product of a process takes: two of unlike sizes are run, and the first takes
// so much longer. Tells nothing once something has run on the device.
Result<double> measure_start(Device& device);

// upload, download, stream and pin of DeviceRates, in pieces of `bytes`, and what a copy takes
// beside its bytes.
Status measure_copies(Device& device, int64_t bytes, DeviceRates* rates);

}  // namespace zoetrope
