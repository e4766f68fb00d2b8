// Plans and sessions against the evaluation of the same graph, on random graphs: memory that is
// shared, aliased or carried between phases must not show in the results.
#include <doctest/doctest.h>

#include <cmath>
#include <set>

#include "graph/elements.h"
#include "graph/passes/pipeline.h"
#include "runtime/backend/registry.h"
#include "runtime/plan/planner.h"
#include "runtime/plan/session.h"
#include "tests/conformance/random_graph.h"
#include "tests/devices.h"

using namespace zoetrope;
using namespace zoetrope::conformance;

namespace {

constexpr int kGraphs = 60;

std::vector<char> to_bytes(const TensorType& type, const EvalTensor& tensor) {
  std::vector<char> bytes(static_cast<size_t>(type.bytes()));
  store_elements(type.dtype, bytes.data(), type.shape.elements(), tensor.data.data());
  return bytes;
}

// Root mean square of the difference, relative to the expected tensor's; 0 only for equal bits.
double difference(const std::vector<double>& found, const std::vector<double>& expected) {
  double squares = 0, off = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    squares += expected[i] * expected[i];
    off += (found[i] - expected[i]) * (found[i] - expected[i]);
    if (!(std::fabs(found[i]) < 1e30)) return INFINITY;
  }
  if (off == 0) return 0;
  return std::sqrt(off / (squares + 1e-12 * static_cast<double>(expected.size())));
}

// Steps a session and the evaluation of `truth` side by side.
class Pair {
 public:
  Pair(Graph truth, Plan plan, Device& device, const MemoryWeights& weights, uint64_t seed)
      : truth_(std::move(truth)), weights_(weights), store_(device, weights), random_(seed) {
    auto session = Session::create(std::move(plan), store_);
    REQUIRE_MESSAGE(session.ok(), session.status().message());
    session_ = std::move(*session);
    for (ValueId id : truth_.inputs) {
      inputs_[truth_.value(id).name] = draw_input(truth_, id, &random_);
      for (const StatePair& pair : truth_.states)
        if (pair.state == id)
          std::fill(inputs_[truth_.value(id).name].data.begin(),
                    inputs_[truth_.value(id).name].data.end(), 0.0);
    }
  }

  // Redraws inputs of rates ≥ `rate`, runs both, and gives the largest difference of any output.
  double step(Rate rate) {
    for (ValueId id : truth_.inputs) {
      const Value& value = truth_.value(id);
      if (is_state(id) || value.rate < rate) continue;
      inputs_[value.name] = draw_input(truth_, id, &random_);
      const auto bytes = to_bytes(value.type, inputs_[value.name]);
      REQUIRE(
          session_->set_input(value.name, bytes.data(), static_cast<int64_t>(bytes.size())).ok());
    }
    const Status ran = session_->run();
    REQUIRE_MESSAGE(ran.ok(), ran.message());
    EvaluateOptions options{.round_to_dtype = true, .watch = {}};
    for (const StatePair& pair : truth_.states)
      options.watch.push_back(truth_.value(pair.next).name);
    auto expected = reference_evaluate(truth_, inputs_, weights_, options);
    REQUIRE_MESSAGE(expected.ok(), expected.status().message());
    double worst = 0;
    for (const GraphOutput& out : truth_.outputs) {
      const TensorType& type = truth_.value(out.value).type;
      std::vector<char> bytes(static_cast<size_t>(type.bytes()));
      REQUIRE(session_->get_output(out.name, bytes.data(), type.bytes()).ok());
      std::vector<double> found(static_cast<size_t>(type.shape.elements()));
      load_elements(type.dtype, bytes.data(), type.shape.elements(), found.data());
      const double off = difference(found, (*expected)[out.name].data);
      if (off > worst) {
        worst = off;
        worst_output_ = out.name;
      }
    }
    for (const StatePair& pair : truth_.states)
      inputs_[truth_.value(pair.state).name] = (*expected)[truth_.value(pair.next).name];
    return worst;
  }

  const Session& session() const { return *session_; }
  int64_t held_bytes() const { return session_->own_bytes() + store_.held_bytes(); }
  const std::string& worst_output() const { return worst_output_; }

 private:
  bool is_state(ValueId id) const {
    for (const StatePair& pair : truth_.states)
      if (pair.state == id) return true;
    return false;
  }

  Graph truth_;
  const MemoryWeights& weights_;
  WeightStore store_;
  std::mt19937_64 random_;
  EvalTensors inputs_;
  std::string worst_output_;
  std::unique_ptr<Session> session_;
};

// Every order of phases that a pipeline uses: all, the next step, a new timestep, a new clip.
constexpr Rate kSteps[] = {Rate::kWeights,  Rate::kStep, Rate::kTimestep, Rate::kStep,
                           Rate::kTimestep, Rate::kClip, Rate::kStep};

// `found`: what the device's allocator counted for this pair alone.
void check_memory(const Pair& pair, int64_t found) {
  const PlanMemory& memory = pair.session().plan().memory;
  CHECK(memory.arena_bytes >= memory.lower_bound_bytes);
  CHECK(found == pair.held_bytes());
  // A device may round each allocation up to a page.
  CHECK(found >= memory.total_bytes());
  CHECK(found <= memory.total_bytes() + memory.total_bytes() / 100 + 4096);
}

}  // namespace

TEST_CASE("a planned graph on the reference backend gives the evaluation's bits") {
  auto device = open_device("reference");
  REQUIRE(device.ok());
  for (uint64_t seed = 1; seed <= kGraphs; ++seed) {
    const Graph graph = random_graph(seed, 6 + static_cast<int>(seed % 30));
    MemoryWeights weights;
    fill_weights(graph, seed, DType::kF32, &weights);
    auto plan = make_plan(graph, **device, {});
    REQUIRE_MESSAGE(plan.ok(), plan.status().message());
    // The plan's graph has the fused ops decomposed: node for node what the device runs.
    const Graph planned = plan->graph;
    const int64_t before = (*device)->allocated_bytes();
    Pair pair(planned, std::move(*plan), **device, weights, seed);
    for (Rate rate : kSteps)
      CHECK_MESSAGE(pair.step(rate) == 0, "seed ", seed, ", inputs since rate ", rate_name(rate),
                    ", output ", pair.worst_output());
    check_memory(pair, (*device)->allocated_bytes() - before);
  }
}

namespace {

// Whether the device has a kernel for a node.
bool accepts(Device& device, const Graph& graph, const Node& node) {
  return device.query_kernel(kernel_request(graph, node)).ok();
}

// The largest difference over all random graphs, compiled for the device.
double run_on(Device& device, DType compute, DType storage, double limit) {
  double worst = 0;
  std::set<OpKind> made, taken, ran;  // fused ops: by passes, that the device has, in plans
  for (uint64_t seed = 1; seed <= kGraphs; ++seed) {
    const Graph graph = random_graph(seed, 6 + static_cast<int>(seed % 30));
    MemoryWeights weights;
    fill_weights(graph, seed, storage, &weights);
    PassOptions options;
    options.compute = compute;
    options.storage = [&](std::string_view) -> Result<DType> { return storage; };
    auto optimised = run_passes(graph, options);
    REQUIRE_MESSAGE(optimised.ok(), optimised.status().message());
    for (const Node& node : optimised->nodes)
      if (op_def(node.op).is_fused()) {
        made.insert(node.op);
        if (accepts(device, *optimised, node)) taken.insert(node.op);
      }
    auto plan = make_plan(*optimised, device, {});
    REQUIRE_MESSAGE(plan.ok(), plan.status().message());
    for (const Node& node : plan->graph.nodes)
      if (op_def(node.op).is_fused()) ran.insert(node.op);
    const int64_t before = device.allocated_bytes();
    Pair pair(graph, std::move(*plan), device, weights, seed);
    for (Rate rate : kSteps) {
      const double off = pair.step(rate);
      CHECK_MESSAGE(off < limit, "seed ", seed, ", inputs since rate ", rate_name(rate),
                    ", output ", pair.worst_output(), ": off by ", off);
      worst = std::max(worst, off);
    }
    check_memory(pair, device.allocated_bytes() - before);
  }
  for (OpKind op : all_ops()) {
    const OpDef& def = op_def(op);
    if (!def.is_fused()) continue;
    CHECK_MESSAGE(made.contains(op), "no random graph has ", def.name);
    if (taken.contains(op)) CHECK_MESSAGE(ran.contains(op), "no plan has ", def.name);
  }
  return worst;
}

void keeps_meaning(const std::string& backend) {
  if (!needs_device(backend)) return;
  auto device = open_device(backend);
  REQUIRE_MESSAGE(device.ok(), device.status().message());
  for (DType storage : {DType::kF32, DType::kF16, DType::kBF16})
    MESSAGE(backend, ", f32, weights in ", dtype_name(storage), ": largest difference ",
            run_on(**device, DType::kF32, storage, 1e-5));
  // A state is fed back through several steps in bf16: errors of some units of 2^-8 add up.
  MESSAGE(backend, ", bf16: largest difference ",
          run_on(**device, DType::kBF16, DType::kBF16, 0.1));
}

}  // namespace

TEST_CASE("passes and plans keep the meaning of the graph on the cpu backend") {
  keeps_meaning("cpu");
}
TEST_CASE("passes and plans keep the meaning of the graph on the vulkan backend") {
  keeps_meaning("vulkan");
}
TEST_CASE("passes and plans keep the meaning of the graph on the cuda backend") {
  keeps_meaning("cuda");
}
