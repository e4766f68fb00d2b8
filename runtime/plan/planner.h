// Graph → Plan: places values in one arena and resolves every node to a kernel of a device.
#pragma once

#include <functional>

#include "runtime/plan/plan.h"

namespace zoetrope {

// `graph` is bound and optimised. Asks the device about every node (equal nodes once) without
// touching weights; a fused node that it lacks is decomposed. A core node that it lacks runs on
// `host`, with copies, where that is given and has a kernel; else it is an error that names the
// node, its types and the device. Numbers from weights of fewer bits are weights that are made when
// they are loaded, but for those that `stays` keeps as they are stored and the device can expand:
// a call before each that reads them does it.
Result<Plan> make_plan(Graph graph, Device& device, const Bindings& bindings,
                       Device* host = nullptr, const StaysEncoded& stays = {});
// With enough weights staying encoded for `budget`, to a sixteenth of all, once-a-clip ones first;
// 0: none. Where it is not enough that all stay, weights must be streamed (streaming.h).
Result<Plan> make_plan_within(const Graph& graph, Device& device, const Bindings& bindings,
                              Device* host, int64_t budget);

// The plan for people: memory by phase, FLOPs, estimated time; with `calls`, one line a kernel
// call.
std::string plan_to_text(const Plan& plan, bool calls);
// The same as JSON text, for machines and for comparing plans.
std::string plan_to_json(const Plan& plan, bool calls);

// "1.50 GiB", "27.3 TFLOP", "1.2 s"
std::string format_bytes(double bytes);
std::string format_flops(double flops);
std::string format_seconds(double seconds);

}  // namespace zoetrope
