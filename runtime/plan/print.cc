#include <cmath>
#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>

#include "graph/op.h"
#include "runtime/plan/planner.h"

namespace zoetrope {
namespace {

std::string scaled(double value, double base, const char* const* units, int count) {
  int unit = 0;
  while (unit + 1 < count && std::fabs(value) >= base) {
    value /= base;
    ++unit;
  }
  char buffer[48];
  std::snprintf(buffer, sizeof(buffer), unit == 0 ? "%.0f %s" : "%.2f %s", value, units[unit]);
  return buffer;
}

std::string ref_to_string(const TensorRef& ref) {
  switch (ref.space) {
    case Space::kNone: return "-";
    case Space::kArena: return str("+", ref.offset);
    case Space::kWeight: return str("w", ref.weight);
    case Space::kHost: return str("host+", ref.offset);
    case Space::kSlot: return str("slot ", ref.weight, "+", ref.offset);
  }
  return "?";
}

nlohmann::json ref_to_json(const TensorRef& ref) {
  if (ref.space == Space::kNone) return nullptr;
  if (ref.space == Space::kWeight) return {{"weight", ref.weight}, {"bytes", ref.bytes}};
  if (ref.space == Space::kHost) return {{"host_offset", ref.offset}, {"bytes", ref.bytes}};
  if (ref.space == Space::kSlot)
    return {{"slot", ref.weight}, {"offset", ref.offset}, {"bytes", ref.bytes}};
  return {{"offset", ref.offset}, {"bytes", ref.bytes}};
}

// "on the host, cpu: ...: 2 calls (softmax), 1.50 MiB copied a step"
std::string host_to_text(const Plan& plan) {
  if (plan.host.empty()) return "";
  std::map<std::string_view, int> ops;
  double copied = 0;
  int count = 0;
  for (const PlanCall& call : plan.calls) {
    if (!call.on_host) continue;
    ++count;
    ++ops[op_def(plan.graph.nodes[static_cast<size_t>(call.node)].op).name];
    for (const auto& copies : {call.fetched, call.given})
      for (const HostCopy& copy : copies)
        if (call.rate >= Rate::kTimestep) copied += static_cast<double>(copy.host.bytes);
  }
  std::string names;
  for (const auto& [name, n] : ops) names += str(names.empty() ? "" : ", ", name);
  return str("  WITHOUT A KERNEL on ", plan.device, ": ", count, " of ", plan.calls.size(),
             " calls (", names, ") run on ", plan.host, ", with ", format_bytes(copied),
             " copied a step\n");
}

std::string stream_to_text(const Plan& plan) {
  const StreamPlan& s = plan.stream;
  if (s.slots == 0) return "";
  int64_t streamed = 0, staying = 0;
  for (const PlanWeight& weight : plan.weights) ++(weight.streamed ? streamed : staying);
  std::string text = str("  streamed: ", streamed, " of ", streamed + staying, " weights, in ",
                         s.groups.size(), " groups through ", s.slots, " slots of ",
                         format_bytes(static_cast<double>(s.slot_bytes)), "; ",
                         format_bytes(static_cast<double>(s.step_bytes)), " a step");
  if (s.step_seconds > 0)
    text += str(", ", format_seconds(s.step_seconds), " beside the arithmetic");
  if (s.host_bytes > 0)
    text += str("; pinned host memory ", format_bytes(static_cast<double>(s.host_bytes)));
  return text + "\n";
}

// "  as stored: 405 weights, 7.05 GiB instead of 26.4 GiB, are expanded before each call; 60 ms a
// step"
std::string encoded_to_text(const Plan& plan) {
  const EncodedWeights e = encoded_weights(plan);
  if (e.count == 0) return "";
  std::string text =
      str("  as stored: ", e.count, " weights, ", format_bytes(static_cast<double>(e.stored_bytes)),
          " instead of ", format_bytes(static_cast<double>(e.expanded_bytes)),
          ", are expanded before each call");
  if (e.step_seconds > 0) text += str("; ", format_seconds(e.step_seconds), " a step");
  return text + "\n";
}

nlohmann::json stream_to_json(const Plan& plan) {
  nlohmann::json groups = nlohmann::json::array();
  for (const StreamGroup& group : plan.stream.groups) {
    nlohmann::json names = nlohmann::json::array();
    for (const StreamedWeight& streamed : group.weights)
      names.push_back(
          plan.graph.value(plan.weights[static_cast<size_t>(streamed.weight)].value).name);
    groups.push_back({{"first_call", group.first_call},
                      {"end_call", group.end_call},
                      {"slot", group.slot},
                      {"bytes", group.bytes},
                      {"weights", std::move(names)}});
  }
  return {{"slots", plan.stream.slots},
          {"slot_bytes", plan.stream.slot_bytes},
          {"host_bytes", plan.stream.host_bytes},
          {"step_bytes", plan.stream.step_bytes},
          {"step_seconds", plan.stream.step_seconds},
          {"groups", std::move(groups)}};
}

}  // namespace

std::string describe(const Graph& graph, const Node& node) {
  std::string types;
  for (ValueId id : node.inputs)
    types += str(types.empty() ? "" : ", ",
                 id == kNone ? std::string("none") : graph.value(id).type.to_string());
  return str("node '", node.name, "', ", op_def(node.op).name, "(", types, ")");
}

std::string format_bytes(double bytes) {
  constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  return scaled(bytes, 1024, kUnits, 5);
}

std::string format_flops(double flops) {
  constexpr const char* kUnits[] = {"FLOP", "kFLOP", "MFLOP", "GFLOP", "TFLOP", "PFLOP"};
  return scaled(flops, 1000, kUnits, 6);
}

std::string format_seconds(double seconds) {
  char buffer[48];
  if (seconds < 1e-3)
    std::snprintf(buffer, sizeof(buffer), "%.0f us", seconds * 1e6);
  else if (seconds < 1)
    std::snprintf(buffer, sizeof(buffer), "%.0f ms", seconds * 1e3);
  else if (seconds < 60)
    std::snprintf(buffer, sizeof(buffer), "%.1f s", seconds);
  else if (seconds < 3600)
    std::snprintf(buffer, sizeof(buffer), "%d:%02d min", static_cast<int>(seconds) / 60,
                  static_cast<int>(seconds) % 60);
  else
    std::snprintf(buffer, sizeof(buffer), "%d:%02d h", static_cast<int>(seconds) / 3600,
                  static_cast<int>(seconds) / 60 % 60);
  return buffer;
}

std::string plan_to_text(const Plan& plan, bool calls) {
  std::string text = str("plan ", plan.component, " on ", plan.device, "\n");
  text += "  symbols ";
  for (const auto& [name, value] : plan.bindings) text += str(" ", name, "=", value);
  text +=
      str("\n  ", plan.calls.size(), " kernel calls from ", plan.graph.nodes.size(), " nodes\n");
  for (int r = 0; r < kRateCount; ++r) {
    size_t count = 0;
    for (const PlanCall& call : plan.calls) count += call.rate == static_cast<Rate>(r);
    if (count == 0) continue;
    const auto i = static_cast<size_t>(r);
    text +=
        str("  phase ", rate_name(static_cast<Rate>(r)), ": ", count, " calls, ",
            format_flops(plan.phase_cost[i].flops), ", ", format_bytes(plan.phase_cost[i].bytes),
            " moved, peak ", format_bytes(static_cast<double>(plan.memory.phase_peak_bytes[i])));
    if (plan.seconds.phase[i] > 0) text += str(", about ", format_seconds(plan.seconds.phase[i]));
    text += "\n";
  }
  const PlanMemory& m = plan.memory;
  text += str("  memory: arena ", format_bytes(static_cast<double>(m.arena_bytes)),
              " (lower bound ", format_bytes(static_cast<double>(m.lower_bound_bytes)),
              "; carried ", format_bytes(static_cast<double>(m.carried_bytes)),
              "), packed weights ", format_bytes(static_cast<double>(m.packed_bytes)),
              ", weights as stored ", format_bytes(static_cast<double>(m.raw_weight_bytes)),
              ", total ", format_bytes(static_cast<double>(m.total_bytes())));
  if (m.mapped_bytes > 0)
    text += str("; read from the mapped file ", format_bytes(static_cast<double>(m.mapped_bytes)));
  text += "\n" + host_to_text(plan) + encoded_to_text(plan) + stream_to_text(plan);
  if (plan.seconds.step() > 0)
    text += str("  estimated time a step: ", format_seconds(plan.seconds.step()),
                plan.seconds.measured ? "" : ", roughly: this device was not calibrated", "\n");
  if (!calls) return text;
  for (const PlanCall& call : plan.calls) {
    const Node& node = plan.graph.nodes[static_cast<size_t>(call.node)];
    text += str("  ", rate_name(call.rate), "  ", node.name, "  ", call.kernel.name, "(");
    for (size_t i = 0; i < call.inputs.size(); ++i)
      text += (i ? ", " : "") + ref_to_string(call.inputs[i]);
    text += ") -> ";
    for (size_t i = 0; i < call.outputs.size(); ++i)
      text += (i ? ", " : "") + ref_to_string(call.outputs[i]);
    text += str("  ", plan.graph.value(node.outputs[0]).type.to_string(), "\n");
  }
  return text;
}

std::string plan_to_json(const Plan& plan, bool calls) {
  nlohmann::json phases = nlohmann::json::object();
  for (size_t i = 0; i < kRateCount; ++i)
    phases[std::string(rate_name(static_cast<Rate>(i)))] = {
        {"flops", plan.phase_cost[i].flops},
        {"bytes_moved", plan.phase_cost[i].bytes},
        {"peak_bytes", plan.memory.phase_peak_bytes[i]},
        {"seconds", plan.seconds.phase[i]}};
  nlohmann::json json = {{"component", plan.component},
                         {"device", plan.device},
                         {"symbols", plan.bindings},
                         {"kernel_calls", plan.calls.size()},
                         {"nodes", plan.graph.nodes.size()},
                         {"phases", phases},
                         {"memory",
                          {{"arena_bytes", plan.memory.arena_bytes},
                           {"lower_bound_bytes", plan.memory.lower_bound_bytes},
                           {"carried_bytes", plan.memory.carried_bytes},
                           {"packed_bytes", plan.memory.packed_bytes},
                           {"raw_weight_bytes", plan.memory.raw_weight_bytes},
                           {"mapped_bytes", plan.memory.mapped_bytes},
                           {"slot_bytes", plan.memory.slot_bytes},
                           {"total_bytes", plan.memory.total_bytes()}}},
                         {"estimated_step_seconds", plan.seconds.step()},
                         {"estimated_load_seconds", plan.seconds.load},
                         {"calibrated", plan.seconds.measured}};
  if (!plan.host.empty()) json["host"] = plan.host;
  if (const EncodedWeights e = encoded_weights(plan); e.count > 0)
    json["encoded"] = {{"weights", e.count},
                       {"stored_bytes", e.stored_bytes},
                       {"expanded_bytes", e.expanded_bytes},
                       {"step_seconds", e.step_seconds}};
  if (plan.stream.slots > 0) json["stream"] = stream_to_json(plan);
  if (calls) {
    nlohmann::json list = nlohmann::json::array();
    for (const PlanCall& call : plan.calls) {
      const Node& node = plan.graph.nodes[static_cast<size_t>(call.node)];
      nlohmann::json inputs = nlohmann::json::array(), outputs = nlohmann::json::array();
      for (const TensorRef& ref : call.inputs) inputs.push_back(ref_to_json(ref));
      for (const TensorRef& ref : call.outputs) outputs.push_back(ref_to_json(ref));
      list.push_back({{"node", node.name},
                      {"op", op_def(node.op).name},
                      {"phase", rate_name(call.rate)},
                      {"kernel", call.kernel.name},
                      {"on_host", call.on_host},
                      {"inputs", inputs},
                      {"outputs", outputs},
                      {"workspace_bytes", call.kernel.workspace_bytes},
                      {"flops", call.cost.flops},
                      {"bytes_moved", call.cost.bytes},
                      {"seconds", call.seconds}});
    }
    json["calls"] = list;
  }
  return json.dump(2);
}

}  // namespace zoetrope
