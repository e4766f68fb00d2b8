// Weights that pass through a device must not show in its results: only in what it holds.
#include <doctest/doctest.h>

#include <random>

#include "graph/builder.h"
#include "graph/evaluate.h"
#include "graph/passes/pipeline.h"
#include "runtime/backend/registry.h"
#include "runtime/plan/planner.h"
#include "runtime/plan/session.h"
#include "runtime/plan/streaming.h"

using namespace zoetrope;

namespace {

constexpr int64_t kWidth = 192, kTokens = 24, kBlocks = 7;

// Weights at every rate: text projections once a clip, modulation once a timestep, two products a
// block at every step; one weight serves two blocks, another is an output.
Graph make_graph() {
  Builder b("net");
  const ValueId text = b.input("text", DType::kF32, {4, kWidth}, Rate::kClip);
  const ValueId time = b.input("time", DType::kF32, {1, kWidth}, Rate::kTimestep);
  ValueId x = b.input("x", DType::kF32, {kTokens, kWidth});
  const ValueId shared = b.weight("shared", {kWidth, kWidth});
  for (int64_t i = 0; i < kBlocks; ++i) {
    const auto scope = b.scope("blocks." + std::to_string(i));
    const ValueId keys = b.linear("text", text, kWidth, kWidth);
    const ValueId scale = b.linear("modulation", time, kWidth, kWidth);
    const ValueId scores = b.softmax(b.matmul(b.mul(x, scale), keys, true));
    ValueId h = b.matmul(scores, keys);
    h = b.linear("up", h, kWidth, 2 * kWidth + i);  // slots are filled unevenly
    h = b.linear("down", b.gelu_tanh(h), 2 * kWidth + i, kWidth);
    if (i == 2 || i == 5) h = b.matmul(h, shared, true);
    x = b.add(x, h);
  }
  b.output("y", x);
  b.output("table", b.weight("table", {kWidth, kWidth}));
  auto graph = b.finish();
  REQUIRE_MESSAGE(graph.ok(), graph.status().message());
  auto bound = bind(*graph, {});
  REQUIRE(bound.ok());
  return std::move(*bound);
}

std::vector<float> noise(uint64_t seed, int64_t count) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> list(static_cast<size_t>(count));
  for (float& x : list) x = normal(random);
  return list;
}

MemoryWeights make_weights(const Graph& graph, DType dtype) {
  MemoryWeights weights;
  uint64_t seed = 1;
  for (ValueId id : graph.weights()) {
    const Value& value = graph.value(id);
    const auto drawn = noise(++seed, value.type.shape.elements());
    EvalTensor tensor{value.type.shape, {drawn.begin(), drawn.end()}};
    for (double& w : tensor.data) w *= 0.07;
    weights.add(value.name, dtype, tensor);
  }
  return weights;
}

// The outputs of a clip as it is denoised: new text, new times, and times that stay.
std::vector<std::vector<float>> clip(Session& session) {
  std::vector<std::vector<float>> outputs;
  const auto set = [&](const char* name, uint64_t seed) {
    const auto data = noise(seed, session.input_type(name)->shape.elements());
    REQUIRE(session.set_input(name, std::span<const float>(data)).ok());
  };
  for (uint64_t step = 0; step < 6; ++step) {
    if (step % 4 == 0) set("text", 100 + step);
    if (step % 2 == 0) set("time", 200 + step);
    set("x", 300 + step);
    const Status ran = session.run();
    REQUIRE_MESSAGE(ran.ok(), ran.message());
    auto& y = outputs.emplace_back(static_cast<size_t>(kTokens * kWidth));
    REQUIRE(session.get_output("y", y.data(), kTokens * kWidth * 4).ok());
  }
  return outputs;
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
  const MemoryWeights weights = make_weights(graph, compute);
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
    expected = clip(**session);
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
    CHECK(clip(**session) == expected);
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
  const MemoryWeights weights = make_weights(graph, DType::kF32);
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
  CHECK(clip(**first) == clip(**second));
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
