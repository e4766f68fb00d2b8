// Weights that pass through a device must not show in its results: only in what it holds.
#include <doctest/doctest.h>

#include <random>

#include "graph/passes/pipeline.h"
#include "runtime/backend/registry.h"
#include "runtime/plan/planner.h"
#include "runtime/plan/session.h"
#include "runtime/plan/streaming.h"
#include "tests/plan/block_network.h"

using namespace zoetrope;

namespace {

constexpr Blocks kNetwork{.width = 192, .count = 7, .wider = 1, .sharing = 2, .as_well = 5};
constexpr uint64_t kSteps = 6;

// Slots are filled unevenly, and one weight is an output.
Graph make_graph() {
  const Graph graph = block_network(kNetwork, [](Builder& b, ValueId x) {
    b.output("y", x);
    b.output("table", b.weight("table", {kNetwork.width, kNetwork.width}));
  });
  auto bound = bind(graph, {});
  REQUIRE(bound.ok());
  return std::move(*bound);
}

Result<Plan> plan_for(const Graph& graph, Device& device, DType compute) {
  PassOptions options;
  options.compute = compute;
  options.storage = [&](std::string_view) -> Result<DType> { return compute; };
  ZT_ASSIGN_OR_RETURN(Graph optimised, run_passes(graph, options));
  return make_plan(std::move(optimised), device, {});
}

// Streams through ever smaller budgets; every result must equal the resident one's bits.
void check_budgets(Device& device, DType compute) {
  const Graph graph = make_graph();
  const MemoryWeights weights = noise_weights(graph, compute);
  auto resident = plan_for(graph, device, compute);
  REQUIRE_MESSAGE(resident.ok(), resident.status().message());
  const PlanMemory all = resident->memory;
  REQUIRE(all.packed_bytes + all.raw_weight_bytes > 0);

  Plan smallest = *resident;
  stream_weights(&smallest, device, 0);
  const int64_t least = smallest.memory.total_bytes();
  CHECK(least < all.total_bytes());

  std::vector<std::vector<float>> expected;
  {
    WeightStore store(device, weights);
    auto session = Session::create(*resident, store);
    REQUIRE_MESSAGE(session.ok(), session.status().message());
    expected = denoise_clip(**session, kSteps);
  }
  for (int64_t part = 0; part <= 8; ++part) {
    const int64_t budget = least + (all.total_bytes() - least) * part / 8;
    Plan plan = *resident;
    stream_weights(&plan, device, budget);
    CAPTURE(budget);
    CHECK(plan.memory.total_bytes() <= budget);
    CHECK((plan.stream.slots > 0) == (part < 8));
    const int64_t planned = plan.memory.total_bytes();
    const int64_t before = device.allocated_bytes();
    WeightStore store(device, weights);
    auto session = Session::create(std::move(plan), store);
    REQUIRE_MESSAGE(session.ok(), session.status().message());
    CHECK(denoise_clip(**session, kSteps) == expected);
    const int64_t held = device.allocated_bytes() - before;
    CHECK(held == store.held_bytes() + (*session)->own_bytes());
    // A device may round each allocation up to a page.
    CHECK(held >= planned);
    CHECK(held <= planned + planned / 50 + 4 * 4096);
  }
}

}  // namespace

TEST_CASE("streamed weights give the bits of resident ones within every budget") {
  int devices = 0;
  for (const std::string backend : {"cpu", "vulkan", "cuda"}) {
    auto device = open_device(backend);
    if (!device.ok()) {
      MESSAGE("without ", backend, ": ", device.status().message());
      continue;
    }
    ++devices;
    for (DType compute : {DType::kF32, DType::kBF16}) {
      CAPTURE(backend);
      CAPTURE(dtype_name(compute));
      check_budgets(**device, compute);
    }
  }
  CHECK(devices > 0);
}

TEST_CASE("two sessions on one store share what they hold, and shrinking frees what nobody does") {
  auto device = open_device("cpu");
  REQUIRE(device.ok());
  const Graph graph = make_graph();
  const MemoryWeights weights = noise_weights(graph, DType::kF32);
  WeightStore store(**device, weights);
  auto plan = plan_for(graph, **device, DType::kF32);
  REQUIRE(plan.ok());
  auto first = Session::create(*plan, store);
  REQUIRE(first.ok());
  const int64_t loads = store.loads(), held = store.held_bytes();
  CHECK(held > 0);
  auto second = Session::create(*plan, store);
  REQUIRE(second.ok());
  CHECK(store.loads() == loads);
  CHECK(store.held_bytes() == held);
  CHECK(denoise_clip(**first, kSteps) == denoise_clip(**second, kSteps));
  first->reset();
  store.shrink(0);
  CHECK(store.held_bytes() == held);  // the second still needs them
  second->reset();
  store.shrink(0);
  CHECK(store.held_bytes() == 0);
  CHECK((*device)->allocated_bytes() == 0);
  auto third = Session::create(*plan, store);
  REQUIRE(third.ok());
  CHECK(store.loads() > loads);
}

TEST_CASE("a budget is kept by streaming what is used once a clip before what every step reads") {
  auto device = open_device("cpu");
  REQUIRE(device.ok());
  auto plan = plan_for(make_graph(), **device, DType::kF32);
  REQUIRE(plan.ok());
  stream_weights(&*plan, **device, plan->memory.total_bytes() - 1);
  REQUIRE(plan->stream.slots > 0);
  for (const PlanWeight& weight : plan->weights) {
    if (!weight.streamed) continue;
    REQUIRE(weight.call >= 0);
    CHECK(plan->calls[static_cast<size_t>(weight.call)].rate < Rate::kTimestep);
  }
  CHECK(plan->stream.step_bytes == 0);
}
