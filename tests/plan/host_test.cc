// Ops that a device lacks run on the host, and nothing else changes.
#include <doctest/doctest.h>

#include <set>

#include "graph/evaluate.h"
#include "runtime/backend/registry.h"
#include "runtime/plan/planner.h"
#include "runtime/plan/session.h"
#include "tests/conformance/random_graph.h"
#include "tests/plan/lacking_device.h"

using namespace zoetrope;
using namespace zoetrope::conformance;

namespace {

std::vector<std::vector<char>> steps(Session& session, uint64_t seed) {
  std::mt19937_64 random(seed);
  const Graph& graph = session.plan().graph;
  std::vector<std::vector<char>> outputs;
  for (Rate since : {Rate::kWeights, Rate::kStep, Rate::kTimestep, Rate::kClip, Rate::kStep}) {
    for (const PlanBinding& input : session.plan().inputs) {
      const Value& value = graph.value(input.value);
      const bool state =
          std::any_of(graph.states.begin(), graph.states.end(),
                      [&](const StatePair& pair) { return pair.state == input.value; });
      if (state || value.rate < since) continue;
      const EvalTensor tensor = draw_input(graph, input.value, &random);
      std::vector<char> bytes(static_cast<size_t>(value.type.bytes()));
      for (size_t i = 0; i < tensor.data.size(); ++i)
        store_element(value.type.dtype, bytes.data(), static_cast<int64_t>(i), tensor.data[i]);
      REQUIRE(session.set_input(input.name, bytes.data(), value.type.bytes()).ok());
    }
    const Status ran = session.run();
    REQUIRE_MESSAGE(ran.ok(), ran.message());
    for (const PlanBinding& output : session.plan().outputs) {
      auto& bytes = outputs.emplace_back(static_cast<size_t>(output.ref.bytes));
      REQUIRE(session.get_output(output.name, bytes.data(), output.ref.bytes).ok());
    }
  }
  return outputs;
}

}  // namespace

TEST_CASE("calls on the host give the bits that the device would") {
  auto whole = open_device("reference"), host = open_device("reference");
  REQUIRE(whole.ok());
  REQUIRE(host.ok());
  std::set<OpKind> sent;
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    CAPTURE(seed);
    const Graph graph = random_graph(seed, 6 + static_cast<int>(seed % 30));
    MemoryWeights weights;
    fill_weights(graph, seed, DType::kF32, &weights);
    auto inner = open_device("reference");
    REQUIRE(inner.ok());
    // Another third of the ops for each graph.
    std::set<OpKind> lacks;
    for (OpKind op : all_ops())
      if ((static_cast<uint64_t>(op) + seed) % 3 == 0) lacks.insert(op);
    Lacking device(std::move(*inner), lacks);
    auto plan = make_plan(graph, device, {}, host->get());
    REQUIRE_MESSAGE(plan.ok(), plan.status().message());
    for (const PlanCall& call : plan->calls) {
      const OpKind op = plan->graph.nodes[static_cast<size_t>(call.node)].op;
      CHECK(call.on_host == lacks.contains(op));
      if (call.on_host) sent.insert(op);
    }
    auto resident = make_plan(graph, **whole, {});
    REQUIRE(resident.ok());
    WeightStore store(device, weights), host_store(**host, weights), whole_store(**whole, weights);
    auto split = Session::create(std::move(*plan), store, {}, &host_store);
    REQUIRE_MESSAGE(split.ok(), split.status().message());
    auto single = Session::create(std::move(*resident), whole_store);
    REQUIRE(single.ok());
    CHECK(steps(**split, seed) == steps(**single, seed));
  }
  CHECK(sent.size() > 10);
}

TEST_CASE("a plan says loudly what runs on the host, and without one it is an error") {
  auto inner = open_device("reference"), host = open_device("reference");
  REQUIRE(inner.ok());
  REQUIRE(host.ok());
  const Graph graph = random_graph(3, 30);
  std::set<OpKind> all;
  for (OpKind op : all_ops()) all.insert(op);
  Lacking device(std::move(*inner), all);
  const auto refused = make_plan(graph, device, {});
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.status().message().find("lacking") != std::string::npos);
  const auto plan = make_plan(graph, device, {}, host->get());
  REQUIRE_MESSAGE(plan.ok(), plan.status().message());
  CHECK(plan_to_text(*plan, false).find("WITHOUT A KERNEL") != std::string::npos);
}
