// Everything that is decided before a request runs: plain data, for running and for showing.
#pragma once

#include <algorithm>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "runtime/engine/clip_shape.h"
#include "runtime/engine/tile_plan.h"
#include "runtime/plan/planner.h"
#include "runtime/samplers/schedule.h"

namespace zoetrope {

class EngineDevice;

// A component bound to shapes on a device, and how often a stage calls it.
struct Job {
  std::string name;  // "encode text", "denoise", ...
  size_t stage = 0;  // of the recipe
  int64_t key = 0;   // tells a stage's jobs apart
  std::string component;
  EngineDevice* device = nullptr;
  std::shared_ptr<const Plan> plan;
  std::string task;       // what progress is told under
  double calls = 1;       // how often kStep runs
  double time_calls = 0;  // how often kTimestep runs; 0: as often
  double clip_calls = 1;  // how often kClip runs
  double seconds = 0;     // of all calls, estimated, without loading; 0 when unknown
  TilePlan tiles = {};    // of a decoder along time; empty in other stages
  // Of coders that take a frame in pieces; empty in other stages.
  TilePlan rows = {}, columns = {};
  // What its stage holds on the device beside the plan while this runs: of coders in two parts that
  // share an arena, what the other part holds more.
  int64_t beside_bytes = 0;
  bool kept = false;       // its session is there from a request before: nothing is loaded
  int64_t read_bytes = 0;  // of its weights: what no job before reads, and only the disk has yet
  // Of its weights that are read where the file is mapped, if they do not stay in the host's memory
  // together: each call reads them from the disk again.
  int64_t reread_bytes = 0;
  int64_t latents = 1;        // of causal coders: that one call takes
  int64_t host_bytes = 0;     // what its stage holds on the host beside: frames in tiles
  bool shares_arena = false;  // with the job before or behind
  bool with_next = false;     // runs at the same time as the job behind it

  int64_t bytes() const { return plan->memory.total_bytes() + beside_bytes; }
  double runs(Rate rate) const {
    if (rate == Rate::kStep) return calls;
    if (rate == Rate::kTimestep) return time_calls > 0 ? time_calls : calls;
    return rate == Rate::kClip ? clip_calls : 1;
  }
};

// One of the networks of denoising (Denoise::network): how a step of it runs.
struct NetworkPlan {
  double guidance = 1;
  std::vector<double> stream_guidance;  // by stream: as above, or its own
  // Of Denoise::weaker those whose rows a step has: whose scales are not all 0.
  std::vector<size_t> weaker;
  int evaluations = 0;  // of one row of samples; 0: this request does not need it, it has no job
  // Rows of one call, and devices that work at once: 2 where each runs one half.
  int64_t rows_a_call = 1;
  bool halves = false;
  // Whether rows stand for what is not wanted, behind those of what is.
  bool guided() const {
    return std::any_of(stream_guidance.begin(), stream_guidance.end(),
                       [](double g) { return g != 1; });
  }
  // Of a step: what is wanted, what is not, and each of the weaker.
  int64_t blocks() const { return (guided() ? 2 : 1) + static_cast<int64_t>(weaker.size()); }
};

// A stage that denoises: how its steps run.
struct DenoisePlan {
  size_t stage = 0;   // of the recipe
  Denoise denoise;    // the recipe's; of the first such stage with the request applied
  FlowPoints points;  // of flow matching: the schedule,
  std::vector<FlowPoints> stream_points;  //   and each stream's, where any has its own
  int first_step = 0;  // of those of the schedule: later where a picture is given to start from
  int next_step = 0;   // the first that is taken: later than first_step where a run goes on
  std::vector<NetworkPlan> networks;  // as Denoise::network counts them

  const FlowPoints& points_of(size_t stream) const {
    return stream_points.empty() ? points : stream_points[stream];
  }
  // The step at which the network is told this time.
  size_t step_at(double told) const {
    return static_cast<size_t>(std::find(points.times.begin(), points.times.end(), told) -
                               points.times.begin());
  }
};

// As a DenoisePlan that of the first stage that denoises: what a request's steps, guidance and
// sampler are of.
struct RequestPlan : DenoisePlan {
  ClipShape shape;
  ClipSpec clip;
  int64_t samples = 1;  // clips or pictures
  int64_t rows = 1;     // of values: samples, or twice as many where any network is guided
  std::vector<DenoisePlan> later;  // of the stages that go on from what the first has made
  std::vector<Job> jobs;  // in the order in which they run; the two halves of a step stand together

  // By stage: what it would make is in the request's ResumePoint, under these names.
  std::vector<bool> given;
  std::set<std::string> given_values;

  bool guided() const { return rows != samples; }
  // Of a stage that denoises.
  DenoisePlan& pass(size_t stage);
  const DenoisePlan& pass(size_t stage) const {
    return const_cast<RequestPlan*>(this)->pass(stage);
  }
  const Job* find(size_t stage, int64_t key = 0) const;

  // Of the engine and the request: whether what ran before stays, as far as there is room, and the
  // most that a device may hold (0: what it has).
  bool keeps_sessions = false;
  int64_t memory_budget = 0;
  double disk_rate =
      0;  // bytes a second, of read_bytes and reread_bytes; 0: there is little to read

  // Bytes that the device may hold; 0: not known.
  int64_t room_on(const EngineDevice& device) const;
  const Job& largest() const;
  // What the device that holds most will hold, at most: one job's bytes, or all that stays.
  struct Peak {
    const EngineDevice* device = nullptr;
    int64_t bytes = 0;
    bool kept = false;  // of several jobs, not of the largest alone
  };
  Peak peak() const;
  int64_t peak_bytes() const { return peak().bytes; }
  // Loading, and all calls; without writing files. 0 where the time of any job is not known.
  double estimated_seconds() const;
  int64_t read_bytes() const;
  // Of estimated_seconds() what passes with reading the file.
  double reading_seconds() const;
  bool calibrated() const;  // every device that takes part was
};

// What progress will be told (RunHooks), in order, and how long each takes: the sum is
// estimated_seconds().
struct ExpectedTask {
  std::string name;
  double seconds = 0;
};
std::vector<ExpectedTask> expected_tasks(const RequestPlan& plan);

std::string request_plan_to_text(const RequestPlan& plan, bool calls);
std::string request_plan_to_json(const RequestPlan& plan, bool calls);

}  // namespace zoetrope
