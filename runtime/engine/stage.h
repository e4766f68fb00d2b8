// What a kind of stage is, and what planning and running give it to work with. One file a kind in
// stages/, each with its StageDef; stages.cc lists them.
#pragma once

#include <chrono>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "runtime/engine/devices.h"
#include "runtime/engine/model.h"
#include "runtime/engine/placement.h"
#include "runtime/engine/request.h"
#include "runtime/engine/request_plan.h"
#include "runtime/engine/signature.h"
#include "runtime/engine/stage_value.h"

namespace zoetrope {

// What opening a model gives a stage: the components to check it against.
struct CheckContext {
  const Model& model;
  // Types of values so far, at some typical size: kAnyExtent where a request decides.
  std::map<std::string, TensorType> values;
  ClipShape shape;
  std::map<std::string, Bindings>* bindings = nullptr;  // gets each component's, as first checked

  Result<const Graph*> component(const std::string& name) const;
  // check_signature of a component.
  Status check(const std::string& component, const std::vector<NamedType>& inputs,
               const std::vector<NamedType>& outputs) const;
};

// One component to be planned. Inputs must be all that it has; of outputs what is read.
struct JobSpec {
  std::string name;
  std::string component;
  std::vector<NamedType> inputs, outputs;
  double calls = 1;
  double time_calls = 0;                // how often what depends on the time runs; 0: at each
  double clip_calls = 1;                // how often what depends on the clip alone runs
  std::set<std::string> changing = {};  // inputs that are others at each call
  std::string task = {};                // what progress is told under; empty: the name
  int64_t key = 0;
  TilePlan tiles = {};
  std::string states_of = {};  // the component whose reads decide the states' types; empty: its own
};

class PlanContext {
 public:
  PlanContext(const Model& model, const Request& request, const Placement& placement,
              DeviceList& devices, const PassObserver& observer, RequestPlan* plan)
      : model(model),
        request(request),
        plan(*plan),
        placement_(placement),
        devices_(devices),
        observer_(observer) {}

  const Model& model;
  const Request& request;
  RequestPlan& plan;
  size_t stage = 0;                          // the index of the one being planned
  std::map<std::string, TensorType> values;  // what earlier stages give

  // Notes a value that this stage gives.
  Status give(const std::string& name, const TensorType& type);

  // Plans a component where the placement says and notes it as a job of the stage. The job lives
  // until the next call.
  Result<const Job*> add(const JobSpec& spec);
  // The same without noting it, to see what it would take.
  Result<Job> consider(const JobSpec& spec);
  // What the device lacks is placed on the CPU, with copies.
  Result<Job> consider_on(const JobSpec& spec, EngineDevice* device);

  // Devices that the placement gives this stage's component: one or two.
  Result<std::vector<EngineDevice*>> devices_for(std::string_view component);
  // All that automatic placement chooses from; empty where it is off.
  Result<std::vector<EngineDevice*>> candidates();
  // Whether an entry of the placement names this stage's component.
  bool is_placed(std::string_view component) const;

  // What a device may hold: the request's budget, or the device's memory; 0: unknown.
  int64_t budget(const EngineDevice& device) const {
    return request.memory_budget > 0 ? request.memory_budget : device.info().memory_bytes;
  }

 private:
  const Placement& placement_;
  DeviceList& devices_;
  const PassObserver& observer_;
};

class RunContext {
 public:
  RunContext(const Model& model, const Request& request, const RequestPlan& plan, ClipSink& sink,
             const RunHooks& hooks)
      : model(model), request(request), plan(plan), sink(sink), hooks_(hooks) {}

  const Model& model;
  const Request& request;
  const RequestPlan& plan;
  ClipSink& sink;
  size_t stage = 0;
  RunStats stats;
  StageValues values;
  // Latents by name: what denoising starts from (normalised), where a picture is given, and then
  // what it has made.
  std::map<std::string, std::vector<float>> start, latents;

  // The job's session, loaded if it is not kept. Afterwards progress stands where the job's task
  // was.
  Result<SessionLease> open(const Job& job, const SessionShare& share = {});
  // Tells the hooks what denoising is.
  Status report_state(const DenoiseState& state) const {
    return hooks_.state ? hooks_.state(state, values) : Status();
  }
  bool wants_states() const { return static_cast<bool>(hooks_.state); }
  // kCancelled where the hooks say so.
  Status report(std::string_view task, double done, double total) const;
  // Shows it to the hooks.
  Status observe(const Observation& made) const {
    return hooks_.observe ? hooks_.observe(made) : Status();
  }
  bool observed() const { return hooks_.observe != nullptr; }
  Status evaluated(double time, std::span<float> output) const {
    return hooks_.evaluated ? hooks_.evaluated(time, output) : Status();
  }
  bool wants_denoised() const { return static_cast<bool>(hooks_.denoised); }
  void report_denoised(std::span<const float> latents, int step, int steps) const {
    hooks_.denoised(latents, step, steps);
  }
  void notice(const std::string& text) const {
    if (hooks_.notice) hooks_.notice(text);
  }
  double seconds_since_start() const;
  bool keep_sessions = true;

 private:
  void notice_host(const Job& job) const;

  const RunHooks& hooks_;
  mutable std::map<std::string, std::pair<double, double>, std::less<>> told_;  // by task
  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

// A kind of stage: what it needs of the model, how it is planned, how it runs.
struct StageDef {
  // Whether the components are what the recipe says, for every size; notes the values it gives.
  Status (*check)(const Stage& stage, CheckContext* context);
  // Notes its jobs and the values it gives; errors about what the request asks of it.
  Status (*plan)(const Stage& stage, PlanContext* context);
  Status (*run)(const Stage& stage, RunContext* context);
};

const StageDef& stage_def(const Stage& stage);

extern const StageDef kEncodeTextStage, kClassLabelStage, kImageFeaturesStage, kFrameFeaturesStage,
    kReferenceFeaturesStage, kEndPicturesStage, kStartPictureStage, kSourceClipStage,
    kKnownLatentsStage, kDenoiseStage, kResampleLatentsStage, kDecodeSoundStage, kDecodeVideoStage,
    kDecodeImageStage;

}  // namespace zoetrope
