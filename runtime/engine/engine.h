// The one door to a model: opened once, it lives, and answers requests. The command, and whatever
// else serves people, are thin above it.
//
// Threads: any thread may call anything at any time. Requests run one after the other, in the order
// in which they came; planning goes on beside them. A request is cancelled from any thread through
// its stop token, also while it waits for its turn. Sinks and hooks are called by the thread that
// called run(). Results do not depend on what ran before or beside.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "runtime/engine/devices.h"
#include "runtime/engine/model.h"
#include "runtime/engine/placement.h"
#include "runtime/engine/request.h"
#include "runtime/engine/request_plan.h"
#include "runtime/engine/signature.h"
#include "runtime/engine/turns.h"

namespace zoetrope {

struct EngineOptions {
  DeviceOptions devices;
  Placement placement;
  // Sessions stay loaded for the next request, as far as the devices' memory and the requests'
  // budgets allow; else one component at a time is on each device.
  bool keep_sessions = true;
};

// A call of one component with tensors of the caller's.
struct ComponentCall {
  std::string component;
  std::vector<NamedType> inputs;                // states may be left out: they are zero
  std::vector<const void*> data;                // by input: row major
  Bindings set;                                 // symbols that no input's shape decides
  std::vector<std::string> dump;                // names of nodes or values to give as well
  std::shared_ptr<const WeightSource> weights;  // as Request::weights
  DType compute = DType::kF32;
  bool fuse = true;
};

struct ComponentOutput {
  std::string name;
  TensorType type;
  std::vector<uint8_t> bytes;
};

class Engine {
 public:
  // Maps the file and checks all that it says before anything runs: the recipe's every field
  // against the components' names, dtypes and shapes. Opens no device yet.
  static Result<std::unique_ptr<Engine>> open(const std::string& path, EngineOptions options = {});
  // The same for a model that is in memory already.
  static Result<std::unique_ptr<Engine>> create(Model model, EngineOptions options = {});

  const Model& model() const { return model_; }

  // Compiles every component for this request: what runs where, how often, in how many bytes and
  // seconds. Refuses, with the numbers and the nearest size that fits, when a budget or a device's
  // memory cannot hold it. `observer` sees the graphs after each pass. Lives as long as the engine.
  Result<RequestPlan> plan(const Request& request, const PassObserver& observer = {},
                           std::stop_token stop = {});

  // Plans and runs it. What is loaded stays for the next request.
  Result<RunStats> run(const Request& request, ClipSink& sink, const RunHooks& hooks = {});

  // Plans one component, and runs one. Outputs come in the graph's order, then the next values of
  // states under the states' names, then what `dump` names.
  Result<std::shared_ptr<const Plan>> plan_component(const std::string& component,
                                                     const CompileOptions& options);
  Result<std::vector<ComponentOutput>> run_component(const ComponentCall& call,
                                                     const RunHooks& hooks = {});

  // Takes a device that is open already, under a name that placements may use.
  void add_device(const std::string& name, std::unique_ptr<Device> device) {
    devices_.add(name, std::move(device));
  }

  // The device of that name, opened: to look at it and to calibrate it.
  Result<EngineDevice*> device(const std::string& spec) { return devices_.open(spec); }

  // Frees all that is kept on devices and in use by nobody.
  void release();
  // Sessions made so far, and bytes held now, over all devices.
  int64_t sessions_made() const;
  int64_t held_bytes();

 private:
  Engine(Model model, EngineOptions options)
      : model_(std::move(model)),
        options_(std::move(options)),
        devices_(options_.devices, *model_.weights) {}
  Result<RequestPlan> plan_once(const Request& request, const PassObserver& observer);
  Result<std::string> nearest_fit(const Request& request, const ClipShape& asked,
                                  const std::stop_token& stop);

  const Model model_;
  const EngineOptions options_;
  DeviceList devices_;
  Turns turns_;  // of requests
};

}  // namespace zoetrope
