#include "runtime/engine/devices.h"

#include <algorithm>
#include <optional>

#include "graph/format/model_file.h"
#include "graph/host.h"
#include "runtime/engine/calibrate.h"

namespace zoetrope {
namespace {

constexpr size_t kMaxPlans = 128;  // a clip has fewer than ten

// What adapters did to the plan's weights; plans with equal texts run with the same session.
std::string revisions_of(const Plan& plan, const WeightSource& source) {
  std::string text;
  for (const PlanWeight& weight : plan.weights) {
    const std::string& name = plan.graph.value(weight.value).name;
    if (const std::string revision = source.revision(name); !revision.empty())
      text += str(name, "=", revision, "\n");
  }
  return text;
}

std::string plan_key(const Graph& graph, const CompileOptions& options) {
  std::string key = str(graph.name, ";", dtype_name(options.compute), ";", options.fuse, ";",
                        options.memory_budget);
  for (const std::string& state : options.narrow_states) key += ";n" + state;
  for (const std::string& input : options.changing) key += ";c" + input;
  for (const auto& [name, value] : options.bindings) key += str(";", name, "=", value);
  for (const GraphOutput& out : graph.outputs) key += str(";", out.name, ">", out.value);
  return key;
}

// Plans count weights as if all lay in the file, whoever makes them: a model of generated weights
// is planned like the real one. Running must not take what is not there.
Status check_made(const Plan& plan, const WeightSource& source, int64_t budget) {
  for (const PlanWeight& weight : plan.weights) {
    const std::string& name = plan.graph.value(weight.value).name;
    const int64_t bytes = source.made_bytes(name);
    if (budget > 0 && bytes > budget)
      return error(Code::kResourceExhausted, "tensor '", name,
                   "' is not stored in the file but made when it is loaded, in ", bytes,
                   " bytes; there is room for ", budget);
  }
  return Status();
}

}  // namespace

SessionLease& SessionLease::operator=(SessionLease&& other) noexcept {
  if (this == &other) return *this;
  give_back();
  device_ = other.device_;
  host_ = other.host_;
  session_ = std::move(other.session_);
  return *this;
}

void SessionLease::give_back() {
  if (session_ == nullptr) return;
  const Session* session = session_.get();
  session_.reset();
  device_->give_back(session);
}

Status SessionLease::continue_from(const SessionLease& from) const {
  if (session_->arena() == from.session_->arena())
    return device_->exclusively([&] { return session_->take_states(*from.session_); });
  StateBytes states;
  ZT_RETURN_IF_ERROR(from.use([&](Session& session) -> Status {
    ZT_ASSIGN_OR_RETURN(states, session.get_states());
    return Status();
  }));
  return use([&](Session& session) { return session.set_states(states); });
}

EngineDevice::EngineDevice(std::string spec, std::unique_ptr<Device> device,
                           const WeightSource& source, FindHost find_host)
    : spec_(std::move(spec)),
      device_(std::move(device)),
      source_(source),
      find_host_(std::move(find_host)),
      weights_(*device_, source),
      times_(std::make_shared<const DeviceTimes>(load_device_times(device_->info()))) {}

std::shared_ptr<const DeviceTimes> EngineDevice::times() const {
  const std::lock_guard lock(cache_mutex_);
  return times_;
}

void EngineDevice::set_times(DeviceTimes times) {
  const std::lock_guard lock(cache_mutex_);
  times_ = std::make_shared<const DeviceTimes>(std::move(times));
  plans_.clear();  // sessions hold theirs
}

Result<std::shared_ptr<const Plan>> EngineDevice::compile(const Graph& graph,
                                                          const CompileOptions& options) {
  const std::string key = plan_key(graph, options);
  const std::lock_guard device(device_mutex_);
  if (!options.after_pass) {
    const std::lock_guard lock(cache_mutex_);
    if (const auto it = plans_.find(key); it != plans_.end()) return it->second;
  }
  auto compiled = compile_here(graph, options);
  if (!compiled.ok()) return compiled.status().with_context(str("component ", graph.name));
  auto plan = std::make_shared<const Plan>(std::move(*compiled));
  const std::lock_guard lock(cache_mutex_);
  if (options.after_pass) return plan;
  if (plans_.size() >= kMaxPlans)  // but those that sessions hold are found by them
    std::erase_if(plans_, [](const auto& entry) { return entry.second.use_count() == 1; });
  plans_[key] = plan;
  return plan;
}

// With the device locked.
Result<Plan> EngineDevice::compile_here(const Graph& graph, const CompileOptions& options) {
  const auto by = times();
  CompileOptions timed = options;
  timed.times = by.get();
  auto compiled = compile_component(graph, source_, *device_, timed);
  if (compiled.ok() || compiled.status().code() != Code::kUnsupported || !find_host_)
    return compiled;
  auto host = find_host_();
  if (!host.ok()) return compiled;  // what this device lacks says more
  const std::lock_guard lock((*host)->device_mutex_);
  const auto host_by = (*host)->times();
  timed.host_times = host_by.get();
  return compile_component(graph, source_, *device_, timed, (*host)->device_.get());
}

Result<SessionLease> EngineDevice::open(const std::shared_ptr<const Plan>& plan,
                                        const std::shared_ptr<const WeightSource>& weights,
                                        int64_t budget, const LoadProgress& progress,
                                        const SessionShare& share) {
  const WeightSource& source = weights != nullptr ? *weights : source_;
  ZT_RETURN_IF_ERROR(check_made(*plan, source, budget));
  std::string revisions = revisions_of(*plan, source);
  ArenaShare arena;
  arena.least_bytes = std::max({plan->memory.arena_bytes, device_->alignment(),
                                share.other ? share.other->memory.arena_bytes : 0});
  if (share.beside != nullptr) arena.buffer = share.beside->session_->arena();
  auto kept = find_kept(plan, revisions, arena);
  const std::lock_guard device(device_mutex_);
  if (kept) {
    if (budget > 0) shrink_locked(budget);  // what others left may be more than that
    return std::move(*kept);
  }
  const int64_t needs = plan->memory.total_bytes() - plan->memory.arena_bytes +
                        (arena.buffer ? 0 : arena.least_bytes);
  if (arena.buffer != nullptr) {  // the arenas of others like it serve nobody any more
    const std::lock_guard lock(cache_mutex_);
    kept_.remove_if([&](const Kept& kept) { return kept.plan == plan && !kept.used; });
  }
  if (budget > 0) shrink_locked(std::max<int64_t>(budget - needs, 0));
  EngineDevice* host = nullptr;
  std::unique_lock<std::mutex> host_lock;
  if (!plan->host.empty()) {
    ZT_ASSIGN_OR_RETURN(host, find_host_());
    host_lock = std::unique_lock(host->device_mutex_);
    host->weights_.set_source(source);
  }
  weights_.set_source(source);
  // The one place where sessions are made.
  auto created =
      Session::create(*plan, weights_, progress, host ? &host->weights_ : nullptr, arena);
  weights_.set_source(source_);
  if (host != nullptr) host->weights_.set_source(source_);
  if (!created.ok()) return created.status();
  std::shared_ptr<Session> session = std::move(*created);
  const std::lock_guard lock(cache_mutex_);
  kept_.push_back({plan, std::move(revisions), weights, session, host, arena.least_bytes, true});
  ++made_;
  return SessionLease(this, host, std::move(session));
}

std::optional<SessionLease> EngineDevice::find_kept(const std::shared_ptr<const Plan>& plan,
                                                    const std::string& revisions,
                                                    const ArenaShare& arena) {
  const std::lock_guard lock(cache_mutex_);
  for (auto it = kept_.begin(); it != kept_.end(); ++it) {
    if (it->plan != plan || it->used || it->revisions != revisions) continue;
    if (arena.buffer != nullptr ? it->session->arena() != arena.buffer
                                : it->arena_bytes != arena.least_bytes)
      continue;
    it->used = true;
    kept_.splice(kept_.end(), kept_, it);
    return SessionLease(this, it->host, it->session);
  }
  return std::nullopt;
}

bool EngineDevice::keeps(const Plan& plan, const WeightSource* weights) const {
  const std::string revisions = revisions_of(plan, weights != nullptr ? *weights : source_);
  const std::lock_guard lock(cache_mutex_);
  return std::any_of(kept_.begin(), kept_.end(), [&](const Kept& kept) {
    return kept.plan.get() == &plan && kept.revisions == revisions;
  });
}

double EngineDevice::made_serially(const Plan& plan) const {
  const int threads = usable_threads();
  double bytes = 0;
  for (const PlanWeight& weight : plan.weights) {
    const Value& value = plan.graph.value(weight.value);
    bytes += static_cast<double>(source_.made_bytes(value.name)) /
             synthetic_threads(value.type, threads);
  }
  return bytes;
}

void EngineDevice::give_back(const Session* session) {
  const std::lock_guard lock(cache_mutex_);
  for (Kept& kept : kept_)
    if (kept.session.get() == session) kept.used = false;
}

void EngineDevice::foresee(const Plan& plan) {
  const std::lock_guard device(device_mutex_);
  {
    const std::lock_guard lock(cache_mutex_);
    for (const Kept& kept : kept_)
      if (kept.plan.get() == &plan) return;
  }
  foresee_kernels(plan, *device_);
}

void EngineDevice::shrink(int64_t bytes) {
  const std::lock_guard device(device_mutex_);
  shrink_locked(bytes);
  weights_.drop_copies();
}

// With the device locked.
void EngineDevice::shrink_locked(int64_t bytes) {
  weights_.shrink(bytes);
  const std::lock_guard lock(cache_mutex_);
  for (auto it = kept_.begin(); it != kept_.end() && device_->allocated_bytes() > bytes;) {
    if (it->used) {
      ++it;
      continue;
    }
    // Its memory on the host goes with it.
    std::unique_lock<std::mutex> host;
    if (it->host != nullptr) host = std::unique_lock(it->host->device_mutex_);
    it = kept_.erase(it);
    if (host.owns_lock()) host.unlock();
    weights_.shrink(bytes);
  }
}

int64_t EngineDevice::held_bytes() {
  const std::lock_guard device(device_mutex_);
  return device_->allocated_bytes();
}

int64_t EngineDevice::sessions_made() const {
  const std::lock_guard lock(cache_mutex_);
  return made_;
}

Result<EngineDevice*> DeviceList::open(const std::string& spec) {
  const std::lock_guard lock(mutex_);
  for (const auto& device : devices_)
    if (device->spec() == spec) return device.get();
  ZT_ASSIGN_OR_RETURN(const std::string place, resolve_device(spec, options_));
  if (const auto it = by_place_.find(place); it != by_place_.end()) return it->second;
  ZT_ASSIGN_OR_RETURN(auto device, open_device(place, options_));
  return by_place_[place] = keep(spec, std::move(device));
}

void DeviceList::release() {
  // Twice: what the first pass drops on one device may have held the weights of another.
  for (int pass = 0; pass < 2; ++pass)
    for (EngineDevice* device : opened()) device->shrink(0);
}

EngineDevice* DeviceList::add(const std::string& spec, std::unique_ptr<Device> device) {
  const std::lock_guard lock(mutex_);
  return keep(spec, std::move(device));
}

// With the list locked.
EngineDevice* DeviceList::keep(const std::string& spec, std::unique_ptr<Device> device) {
  FindHost find_host;
  if (device->info().backend != "cpu") find_host = [this] { return open("cpu"); };
  devices_.push_back(
      std::make_unique<EngineDevice>(spec, std::move(device), weights_, std::move(find_host)));
  return devices_.back().get();
}

std::vector<EngineDevice*> DeviceList::opened() const {
  const std::lock_guard lock(mutex_);
  std::vector<EngineDevice*> all;
  for (const auto& device : devices_) all.push_back(device.get());
  return all;
}

Result<std::vector<EngineDevice*>> DeviceList::usable() {
  std::vector<EngineDevice*> found;
  for (const std::string& spec : usable_devices(options_)) {
    ZT_ASSIGN_OR_RETURN(found.emplace_back(), open(spec));
  }
  if (found.empty())
    return error(Code::kUnavailable, "no device to place anything on; `zoetrope devices` says why");
  return found;
}

}  // namespace zoetrope
