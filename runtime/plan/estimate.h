// What a plan's calls cost: work, traffic and time.
#pragma once

#include "runtime/plan/device_times.h"
#include "runtime/plan/plan.h"

namespace zoetrope {

// Sets the cost of every call and phase_cost.
void count_costs(Plan* plan);

// Tells the networks of phases apart, whatever their sizes: by the ops and types of their calls.
uint64_t network_of(const Plan& plan, Rate rate);

// Seconds of every call, 0: not known. Calls between which no memory is written run side by side
// on a device of its own: together they take as long as the longest, or as the device is busy with
// them. Not corrected by sequences.
std::vector<double> call_seconds(const DeviceTimes& times, const DeviceTimes* host,
                                 const DeviceInfo& info, const Plan& plan);

// Sets the seconds of every call and of the plan, from times of its device and, where calls run on
// the host, of that (else null). After stream_weights(). A phase is 0 where the time of one of its
// calls is not known.
void estimate_seconds(const DeviceTimes& times, const DeviceTimes* host, const DeviceInfo& info,
                      Plan* plan);

}  // namespace zoetrope
