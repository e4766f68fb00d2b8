#include "runtime/engine/stage.h"

#include <algorithm>
#include <optional>
#include <tuple>

namespace zoetrope {
namespace {

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Of all that a job runs; 0 where any of it is not known.
double estimate_seconds(const Job& job) {
  const Plan& plan = *job.plan;
  double seconds = 0;
  std::array<bool, kRateCount> runs{};
  for (const PlanCall& call : plan.calls) runs[static_cast<size_t>(call.rate)] = true;
  for (size_t r = 0; r < kRateCount; ++r) {
    if (runs[r] && plan.seconds.phase[r] <= 0) return 0;
    seconds += plan.seconds.phase[r] * job.runs(static_cast<Rate>(r));
  }
  return seconds;
}

Status check_outputs(const Plan& plan, const std::vector<NamedType>& outputs) {
  for (const NamedType& wanted : outputs) {
    const auto found =
        std::find_if(plan.outputs.begin(), plan.outputs.end(),
                     [&](const PlanBinding& out) { return out.name == wanted.name; });
    if (found == plan.outputs.end())
      return error(Code::kDataLoss, "component '", plan.component, "' has no output '", wanted.name,
                   "'");
    const TensorType& type = plan.graph.value(found->value).type;
    if (!fits(wanted.type, type))
      return error(Code::kDataLoss, "component '", plan.component, "': output '", wanted.name,
                   "' is ", type.to_string(), "; expected ", expected_to_string(wanted.type));
  }
  return Status();
}

}  // namespace

Result<const Graph*> CheckContext::component(const std::string& name) const {
  const Graph* graph = model.component(name);
  if (graph == nullptr)
    return error(Code::kDataLoss, "the model has no component '", name,
                 "', which its recipe names");
  return graph;
}

Status CheckContext::check(const std::string& name, const std::vector<NamedType>& inputs,
                           const std::vector<NamedType>& outputs) const {
  ZT_ASSIGN_OR_RETURN(const Graph* graph, component(name));
  auto checked = check_signature(*graph, inputs, outputs);
  if (checked.ok() && bindings != nullptr) bindings->try_emplace(name, *checked);
  // Whatever does not fit here is the file's fault.
  if (checked.ok() || checked.status().code() == Code::kUnsupported) return checked.status();
  return Status(Code::kDataLoss, checked.status().message());
}

Status PlanContext::give(const std::string& name, const TensorType& type) {
  auto elements = checked_elements(type.shape.dims());
  if (!elements.ok()) return elements.status().with_context(str("value '", name, "'"));
  values[name] = type;
  return Status();
}

Result<std::vector<EngineDevice*>> PlanContext::devices_for(std::string_view component) {
  const auto* names = find_placement(placement_, stage_kind(model.recipe.stages[stage]), component);
  std::vector<EngineDevice*> found;
  if (names == nullptr) {
    ZT_ASSIGN_OR_RETURN(found.emplace_back(), devices_.open(placement_.device));
    return found;
  }
  for (const std::string& name : *names) {
    ZT_ASSIGN_OR_RETURN(found.emplace_back(), devices_.open(name));
  }
  return found;
}

bool PlanContext::is_placed(std::string_view component) const {
  return find_placement(placement_, stage_kind(model.recipe.stages[stage]), component) != nullptr;
}

Result<std::vector<EngineDevice*>> PlanContext::candidates() {
  if (!placement_.automatic) return std::vector<EngineDevice*>();
  return devices_.usable();
}

Result<Job> PlanContext::consider_on(const JobSpec& spec, EngineDevice* device) {
  const Graph* graph = model.component(spec.component);
  if (graph == nullptr)
    return error(Code::kDataLoss, "the model has no component '", spec.component, "'");
  CompileOptions options;
  options.compute = request.compute;
  options.fuse = request.fuse;
  options.after_pass = observer_;
  options.changing = spec.changing;
  const Graph* reader = spec.states_of.empty() ? graph : model.component(spec.states_of);
  if (reader != nullptr) options.narrow_states = narrowable_states(*reader);
  ZT_ASSIGN_OR_RETURN(options.bindings, infer_bindings(*graph, spec.inputs));
  Job job;
  job.name = spec.name;
  job.stage = stage;
  job.key = spec.key;
  job.component = spec.component;
  job.device = device;
  job.task = spec.task.empty() ? spec.name : spec.task;
  job.calls = spec.calls;
  job.time_calls = spec.time_calls;
  job.clip_calls = spec.clip_calls;
  job.tiles = spec.tiles;
  ZT_ASSIGN_OR_RETURN(job.plan, device->compile(*graph, options));
  const int64_t room = budget(*device);
  if (room > 0 && job.plan->memory.total_bytes() > room) {  // weights are streamed to fit
    options.memory_budget = room;
    ZT_ASSIGN_OR_RETURN(job.plan, device->compile(*graph, options));
  }
  for (const NamedType& input : spec.inputs) {
    const Value* value = find_input(job.plan->graph, input.name);
    if (value == nullptr || !(value->type == input.type))
      return error(Code::kDataLoss, "component '", spec.component, "': input '", input.name,
                   "' is ", value ? value->type.to_string() : "absent", "; expected ",
                   input.type.to_string());
  }
  ZT_RETURN_IF_ERROR(check_outputs(*job.plan, spec.outputs));
  job.seconds = estimate_seconds(job);
  return job;
}

// Of automatic placement's candidates the one that is done soonest among those that have room, and
// one of unknown speed only where there is no other.
Result<Job> PlanContext::consider(const JobSpec& spec) {
  ZT_ASSIGN_OR_RETURN(const auto all, candidates());
  if (all.empty() || is_placed(spec.component)) {
    ZT_ASSIGN_OR_RETURN(const auto devices, devices_for(spec.component));
    return consider_on(spec, devices.front());
  }
  std::optional<Job> best;
  Status last;
  const auto rank = [&](const Job& job) {  // smaller is better
    const int64_t room = budget(*job.device);
    return std::tuple(room > 0 && job.bytes() > room, job.seconds == 0, job.seconds);
  };
  for (EngineDevice* device : all) {
    auto job = consider_on(spec, device);
    if (!job.ok()) {
      last = job.status();
      continue;  // another device may have the kernels
    }
    if (!best || rank(*job) < rank(*best)) best = std::move(*job);
  }
  if (!best) return last;
  return std::move(*best);
}

Result<const Job*> PlanContext::add(const JobSpec& spec) {
  ZT_ASSIGN_OR_RETURN(Job job, consider(spec));
  plan.jobs.push_back(std::move(job));
  return &plan.jobs.back();
}

Result<SessionLease> RunContext::open(const Job& job, const SessionShare& share) {
  const auto start = std::chrono::steady_clock::now();
  const int64_t room =
      request.memory_budget > 0 ? request.memory_budget : job.device->info().memory_bytes;
  if (!keep_sessions) job.device->shrink(0);
  notice_host(job);
  const auto progress = [&](int64_t done, int64_t total) {
    return report(str("load ", job.component), static_cast<double>(done),
                  static_cast<double>(total))
        .ok();
  };
  auto lease = job.device->open(job.plan, request.weights, room, progress, share);
  if (lease.ok()) {
    CallTrace* const trace = hooks_.trace ? hooks_.trace(job) : nullptr;
    ZT_RETURN_IF_ERROR(lease->use([&](Session& session) {
      session.set_trace(trace);
      return Status();
    }));
  }
  stats.load_seconds += seconds_since(start);
  stats.peak_bytes = std::max(stats.peak_bytes, job.device->held_bytes());
  if (!lease.ok()) return lease;
  const auto before = told_.find(job.task);
  const auto [done, total] = before == told_.end() ? std::pair(0.0, 1.0) : before->second;
  ZT_RETURN_IF_ERROR(report(job.task, done, total));
  return lease;
}

// What runs elsewhere than it was placed is said loudly.
void RunContext::notice_host(const Job& job) const {
  if (job.plan->host.empty()) return;
  std::map<std::string, int> calls;
  double bytes = 0;
  for (const PlanCall& call : job.plan->calls) {
    if (!call.on_host) continue;
    ++calls[std::string(op_def(job.plan->graph.nodes[static_cast<size_t>(call.node)].op).name)];
    for (const auto* copies : {&call.fetched, &call.given})
      for (const HostCopy& copy : *copies) bytes += static_cast<double>(copy.host.bytes);
  }
  std::string names;
  for (const auto& [name, count] : calls) names += str(names.empty() ? "" : ", ", count, " ", name);
  notice(str("'", job.name, "': ", job.device->spec(), " has no kernel for ", names, "; ",
             job.plan->host, " runs them, with ", format_bytes(bytes), " copied a call"));
}

Status RunContext::report(std::string_view task, double done, double total) const {
  if (!task.starts_with("load ")) told_.insert_or_assign(std::string(task), std::pair(done, total));
  if (hooks_.stop.stop_requested() || (hooks_.progress && !hooks_.progress(task, done, total)))
    return error(Code::kCancelled, "asked to stop");
  return Status();
}

double RunContext::seconds_since_start() const { return seconds_since(start_); }

}  // namespace zoetrope
