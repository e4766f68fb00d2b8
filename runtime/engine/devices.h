// The devices of an engine, each opened once, and what is kept on them between requests: plans by
// component and shape, and sessions with their weights.
#pragma once

#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "runtime/backend/registry.h"
#include "runtime/component.h"
#include "runtime/engine/model.h"

namespace zoetrope {

class EngineDevice;

// A session while somebody uses it; given back when dropped. Holds the device (and the host, where
// some of its calls run there) only inside use().
class SessionLease {
 public:
  SessionLease() = default;
  SessionLease(EngineDevice* device, EngineDevice* host, std::shared_ptr<Session> session)
      : device_(device), host_(host), session_(std::move(session)) {}
  SessionLease(SessionLease&&) noexcept = default;
  SessionLease& operator=(SessionLease&& other) noexcept;
  ~SessionLease() { give_back(); }

  // Runs `work(session)` with the device to itself.
  template <typename Work>
  Status use(const Work& work) const;
  const Plan& plan() const { return session_->plan(); }

  // Begins a turn of this session with the states that another's last run left, by name: in place
  // where they share an arena, else over the host.
  Status continue_from(const SessionLease& from) const;

 private:
  friend class EngineDevice;
  void give_back();
  EngineDevice* device_ = nullptr;
  EngineDevice* host_ = nullptr;  // null: every call runs on the device
  std::shared_ptr<Session> session_;
};

// How two sessions on a device run in turns on one arena: the first is opened with what the other's
// plan needs, the other beside it.
struct SessionShare {
  const Plan* other = nullptr;           // of the one opened later
  const SessionLease* beside = nullptr;  // the one opened before
};

// The device that takes what another has no kernel for; an error where this machine has none.
using FindHost = std::function<Result<EngineDevice*>()>;

// One device. Any thread may call it: the device itself, which one thread drives, is locked for as
// long as each call takes.
class EngineDevice {
 public:
  // `source` must outlive it.
  EngineDevice(std::string spec, std::unique_ptr<Device> device, const WeightSource& source,
               FindHost find_host);

  const std::string& spec() const { return spec_; }  // as it was asked for
  const DeviceInfo& info() const { return device_->info(); }

  // The component's plan, found or made. Not kept where `options` observe passes. What this device
  // has no kernel for is planned on the host.
  Result<std::shared_ptr<const Plan>> compile(const Graph& graph, const CompileOptions& options);

  // A session of the plan with these weights (null: the model's), found or made; nobody else has it
  // meanwhile. Where all together would exceed `budget` bytes (0: none), sessions and weights that
  // nobody uses are dropped first, longest unused first.
  Result<SessionLease> open(const std::shared_ptr<const Plan>& plan,
                            const std::shared_ptr<const WeightSource>& weights, int64_t budget,
                            const LoadProgress& progress, const SessionShare& share = {});

  // Has the device compile what the plan will run, where no session of it is kept.
  void foresee(const Plan& plan);

  // Whether a session of the plan with these weights (null: the model's) is kept: nothing is
  // loaded.
  bool keeps(const Plan& plan, const WeightSource* weights) const;

  // Of a plan's weights: what no file has and loading makes, in bytes that one thread would make in
  // the same time.
  double made_serially(const Plan& plan) const;

  // Drops sessions and weights that nobody uses until the device has allocated at most `bytes`.
  void shrink(int64_t bytes);
  // What the device has allocated.
  int64_t held_bytes();
  // Sessions made so far: a second request of the same shape makes none.
  int64_t sessions_made() const;

  // What estimates go by: what a calibration found (calibrate.h), or rough rates. New times make
  // new plans.
  std::shared_ptr<const DeviceTimes> times() const;
  void set_times(DeviceTimes times);

  // Runs `work(device, used)` with the device to itself: to measure it. `used`: names of the
  // kernels that were measured in this process.
  template <typename Work>
  Status measure(const Work& work) {
    return exclusively([&] { return work(*device_, &measured_kernels_); });
  }
  // Runs `work()` with the device to itself.
  template <typename Work>
  Status exclusively(const Work& work) {
    const std::lock_guard lock(device_mutex_);
    return work();
  }

 private:
  friend class SessionLease;
  struct Kept {
    std::shared_ptr<const Plan> plan;             // by identity: plans are cached
    std::string revisions;                        // of its weights
    std::shared_ptr<const WeightSource> weights;  // null: the model's
    std::shared_ptr<Session> session;
    EngineDevice* host = nullptr;
    int64_t arena_bytes = 0;  // as asked for
    bool used = false;
  };
  // Kept, in use by nobody, and with the arena that it must have.
  std::optional<SessionLease> find_kept(const std::shared_ptr<const Plan>& plan,
                                        const std::string& revisions, const ArenaShare& arena);
  void give_back(const Session* session);
  void shrink_locked(int64_t bytes);
  Result<Plan> compile_here(const Graph& graph, const CompileOptions& options);

  const std::string spec_;
  const std::unique_ptr<Device> device_;
  const WeightSource& source_;
  const FindHost find_host_;  // empty: this is the host
  WeightStore weights_;
  std::mutex device_mutex_;  // before cache_mutex_, and before the host's
  mutable std::mutex cache_mutex_;
  std::map<std::string, std::shared_ptr<const Plan>> plans_;
  std::shared_ptr<const DeviceTimes> times_;
  std::list<Kept> kept_;                    // longest unused first
  std::set<std::string> measured_kernels_;  // see measure()
  int64_t made_ = 0;
};

template <typename Work>
Status SessionLease::use(const Work& work) const {
  return device_->exclusively([&] {
    const auto run = [&] { return work(*session_); };
    return host_ != nullptr ? host_->exclusively(run) : run();
  });
}

// Devices by name, opened when first asked for. Thread safe; devices live as long as this.
class DeviceList {
 public:
  // `weights` must outlive it.
  DeviceList(DeviceOptions options, const WeightSource& weights)
      : options_(std::move(options)), weights_(weights) {}
  // Sessions first: they may hold memory of another device.
  ~DeviceList() { release(); }

  // Drops what nobody uses on any device.
  void release();
  // As open_device; two names of one device give the same.
  Result<EngineDevice*> open(const std::string& spec);
  // Takes one that is open already, under a name of the caller's.
  EngineDevice* add(const std::string& spec, std::unique_ptr<Device> device);
  std::vector<EngineDevice*> opened() const;
  // Every device of this machine but software that emulates one and `reference`, opened.
  Result<std::vector<EngineDevice*>> usable();

 private:
  EngineDevice* keep(const std::string& spec, std::unique_ptr<Device> device);
  std::map<std::string, EngineDevice*> by_place_;  // "cuda:0"

  const DeviceOptions options_;
  const WeightSource& weights_;
  mutable std::mutex mutex_;
  std::vector<std::unique_ptr<EngineDevice>> devices_;
};

}  // namespace zoetrope
