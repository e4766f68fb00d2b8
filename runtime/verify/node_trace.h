// Follows a session call by call and judges each: by the op's definition (or another device's
// kernel) on the bytes that it read, by running it again over other garbage, and by whether what it
// reads is still what was written.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "runtime/plan/trace.h"
#include "runtime/verify/call_check.h"
#include "runtime/verify/sketch.h"

namespace zoetrope {

class WeightSource;

struct TraceOptions {
  CheckOptions check;
  int64_t calls = 4;       // judged of each kernel that a plan has several of; 0: all
  Device* peer = nullptr;  // judges in place of the definition
  std::string peer_name;
  int64_t last_run = 0;  // that is looked at beside the first: a job's last call; 0: none
  int64_t sketch_samples = 256;
};

// One call of one run.
struct TracedNode {
  int64_t run = 0;  // of the job's: 0 is the first
  size_t call = 0;
  std::string name, op, node, kernel;  // `node`: described with its types
  Rate rate = Rate::kStep;
  DType dtype = DType::kF32;
  bool judged = false;  // else another call of the same kernel stands for it
  CallError error;      // elements 0: too large for the definition, not compared
  std::vector<std::pair<std::string, Sketch>> values;  // by name
  std::vector<Finding> findings;
};

class NodeTrace : public CallTrace {
 public:
  // `weights` and the peer must outlive it.
  NodeTrace(std::string job, const WeightSource& weights, TraceOptions options)
      : job_(std::move(job)), weights_(weights), options_(std::move(options)) {}

  bool begin_run(const Plan& plan) override;
  Status call(const TracedCall& traced, const std::function<Status()>& run) override;

  const std::string& job() const { return job_; }
  const std::vector<TracedNode>& nodes() const { return nodes_; }

 private:
  struct Call;  // one call being looked at
  Status read_inputs(Call* c);
  Status check_weights(Call* c);
  Status check_weight(Call* c, size_t input, int32_t weight);
  Status compare_packed(Call* c, const PlanWeight& weight, const WeightData& data,
                        const std::vector<uint8_t>& held);
  Status judge_packing(Call* c);
  Status run_again(Call* c, const std::function<Status()>& run);
  Status judge(Call* c);
  void choose_calls(const Plan& plan);
  void add(Call* c, FindingKind kind, std::string text);

  const std::string job_;
  const WeightSource& weights_;
  const TraceOptions options_;
  int64_t runs_ = 0;
  std::set<size_t> chosen_;                 // calls that are judged
  std::map<ValueId, std::string> written_;  // digests of this run's values, where they were made
  std::map<ValueId, size_t> writer_;        // calls that made them
  std::set<int32_t> weights_seen_;          // of this run, found to be right
  std::vector<TracedNode> nodes_;
};

}  // namespace zoetrope
