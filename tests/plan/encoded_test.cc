// Weights that stay in the bits in which they are stored must not show in results: only in what a
// device holds.
#include <doctest/doctest.h>

#include <set>

#include "graph/passes/pipeline.h"
#include "graph/passes/quantize.h"
#include "runtime/backend/registry.h"
#include "runtime/plan/planner.h"
#include "runtime/plan/session.h"
#include "runtime/plan/streaming.h"
#include "tests/plan/block_network.h"
#include "tests/plan/lacking_device.h"

using namespace zoetrope;

namespace {

constexpr Blocks kNetwork{.width = 384, .count = 4, .wider = 32, .sharing = 1, .as_well = 3};
constexpr uint64_t kSteps = 5;

// With a filter at the end.
Graph make_graph() {
  constexpr int64_t width = kNetwork.width;
  return block_network(kNetwork, [](Builder& b, ValueId x) {
    const ValueId rows = b.reshape(x, {1, kTokens, width});
    b.output("y", b.conv(rows, b.weight("filter", {width, 3, width}),
                         {.stride = {}, .dilation = {}, .pad_lo = {1}, .pad_hi = {1}}));
  });
}

constexpr int64_t kStored = 4 * kNetwork.count + 2;

// The network with its weights of two dimensions and more in few bits.
struct Network {
  MemoryWeights original;
  std::unique_ptr<QuantizedWeights> weights;
  Graph graph;

  Network(WeightFormat format, int64_t group) {
    const Graph whole = make_graph();
    const auto sized = bind(whole, {});
    REQUIRE(sized.ok());
    original = noise_weights(*sized, DType::kF32);
    auto made = quantize(whole, [&](const QuantizeSite& site) {
      return site.shape.rank() < 2 ? WeightChoice{} : WeightChoice{format, group};
    });
    REQUIRE_MESSAGE(made.ok(), made.status().message());
    auto source = QuantizedWeights::create(original, made->weights);
    REQUIRE(source.ok());
    weights = std::move(*source);
    auto bound = bind(made->graph, {});
    REQUIRE(bound.ok());
    graph = std::move(*bound);
  }

  Graph optimised(DType compute) const {
    PassOptions options;
    options.compute = compute;
    options.storage = [&](std::string_view name) -> Result<DType> {
      ZT_ASSIGN_OR_RETURN(const TensorType type, weights->type(name));
      return type.dtype;
    };
    auto passed = run_passes(graph, options);
    REQUIRE_MESSAGE(passed.ok(), passed.status().message());
    return std::move(*passed);
  }
};

const StaysEncoded kAll = [](const DerivedWeight&) { return true; };

// Runs the plan on a store of its own; what that and the session hold is what was planned.
std::vector<std::vector<float>> run(Device& device, const WeightSource& weights, Plan plan) {
  const int64_t planned = plan.memory.total_bytes(), before = device.allocated_bytes();
  WeightStore store(device, weights);
  auto session = Session::create(std::move(plan), store);
  REQUIRE_MESSAGE(session.ok(), session.status().message());
  auto outputs = denoise_clip(**session, kSteps);
  const int64_t held = device.allocated_bytes() - before;
  CHECK(held == store.held_bytes() + (*session)->own_bytes());
  CHECK(held >= planned);
  CHECK(held <= planned + planned / 50 + 4 * 4096 + 64 * 256);  // rounded up to pages
  return outputs;
}

// Whether a call of every step reads a weight that was expanded when it was loaded.
bool steps_read_expanded(const Plan& plan) {
  for (const PlanCall& call : plan.calls)
    for (const TensorRef& ref : call.inputs) {
      if (call.rate < Rate::kStep || ref.space != Space::kWeight) continue;
      const PlanWeight& weight = plan.weights[static_cast<size_t>(ref.weight)];
      if (find_derived(plan, plan.graph.value(weight.value).name) != nullptr) return true;
    }
  return false;
}

void check_format(Device& device, WeightFormat format, DType compute) {
  const Network net(format, 32);
  const Graph graph = net.optimised(compute);
  auto expanded = make_plan(graph, device, {});
  REQUIRE_MESSAGE(expanded.ok(), expanded.status().message());
  CHECK(encoded_weights(*expanded).count == 0);
  auto least = make_plan(graph, device, {}, nullptr, kAll);
  REQUIRE_MESSAGE(least.ok(), least.status().message());
  const EncodedWeights all = encoded_weights(*least);
  CHECK(all.count == kStored);
  CHECK(least->derived.empty());
  CHECK(all.stored_bytes < all.expanded_bytes * (format == WeightFormat::kInt4 ? 0.3 : 0.6));
  CHECK(least->memory.total_bytes() < expanded->memory.total_bytes());
  const auto expected = run(device, *net.weights, *expanded);
  CHECK(run(device, *net.weights, *least) == expected);

  const int64_t low = least->memory.total_bytes(), high = expanded->memory.total_bytes();
  int64_t before = INT64_MAX;
  for (int64_t part = 0; part <= 4; ++part) {
    const int64_t budget = low + (high - low) * part / 4;
    CAPTURE(budget);
    auto plan = make_plan_within(graph, device, {}, nullptr, budget);
    REQUIRE_MESSAGE(plan.ok(), plan.status().message());
    CHECK(plan->memory.total_bytes() <= budget);
    const int64_t count = encoded_weights(*plan).count;
    CHECK(count <= before);
    CHECK((count == 0) == (part == 4));
    if (part == 3) {  // those of the clip's rate stay first
      CHECK(count < kStored);
      CHECK(steps_read_expanded(*plan));
    }
    before = count;
    CHECK(run(device, *net.weights, std::move(*plan)) == expected);
  }
  // Less than that: they pass through as they are stored.
  auto streamed = make_plan_within(graph, device, {}, nullptr, low - 1);
  REQUIRE(streamed.ok());
  CHECK(encoded_weights(*streamed).count == all.count);
  if (device.info().host_memory) return;  // its files are mapped
  stream_weights(&*streamed, device, low - 1);
  CHECK(streamed->memory.total_bytes() < low);
  CHECK(streamed->stream.slots > 0);
  CHECK(run(device, *net.weights, std::move(*streamed)) == expected);
}

}  // namespace

TEST_CASE("weights that stay as stored give the bits of those expanded when they were loaded") {
  int devices = 0;
  for (const std::string backend : {"cpu", "vulkan", "cuda"}) {
    auto device = open_device(backend);
    if (!device.ok()) {
      REQUIRE_MESSAGE(device.status().code() == Code::kUnavailable, device.status().message());
      MESSAGE("without ", backend, ": ", device.status().message());
      continue;
    }
    ++devices;
    for (const WeightFormat format : {WeightFormat::kInt4, WeightFormat::kInt8Weights})
      for (const DType compute : {DType::kF32, DType::kBF16}) {
        CAPTURE(backend);
        CAPTURE(format_name(format));
        CAPTURE(dtype_name(compute));
        check_format(**device, format, compute);
      }
  }
  CHECK(devices > 0);
}

TEST_CASE("the same on older instruction sets, plain Vulkan, and an arena in pieces") {
  const std::pair<const char*, const char*> targets[] = {
      {"cpu", "sse4"}, {"cpu", "avx2"}, {"vulkan", "baseline"}, {"vulkan", "segment=524288"}};
  std::set<std::string> ran;
  for (const auto& [backend, target] : targets) {
    CAPTURE(backend);
    CAPTURE(target);
    auto device = open_device(backend, {.threads = 0, .force_target = target});
    if (!device.ok()) {
      REQUIRE_MESSAGE(device.status().code() == Code::kUnavailable, device.status().message());
      MESSAGE("without ", backend, ": ", device.status().message());
      continue;
    }
    check_format(**device, WeightFormat::kInt4, DType::kBF16);
    ran.insert(target);
  }
  CHECK(ran.contains("sse4"));  // every machine has it
}

TEST_CASE("each call that reads a weight of few bits expands it for itself, at its own rate") {
  auto device = open_device("cpu");
  REQUIRE(device.ok());
  const Network net(WeightFormat::kInt4, 32);
  auto plan = make_plan(net.optimised(DType::kBF16), **device, {}, nullptr, kAll);
  REQUIRE(plan.ok());
  int64_t expansions = 0, packed = 0;
  std::set<Rate> rates;
  for (size_t p = 0; p < plan->calls.size(); ++p) {
    const PlanCall& call = plan->calls[p];
    const Node& node = plan->graph.nodes[static_cast<size_t>(call.node)];
    if (node.op != OpKind::kDequantize) continue;
    ++expansions;
    rates.insert(call.rate);
    // Its reader comes next, and nothing is kept for longer.
    REQUIRE(p + 1 < plan->calls.size());
    const PlanCall& reader = plan->calls[p + 1];
    CHECK(reader.rate == call.rate);
    const auto& read = plan->graph.nodes[static_cast<size_t>(reader.node)].inputs;
    const auto at = std::find(read.begin(), read.end(), node.outputs[0]);
    REQUIRE(at != read.end());
    const auto input = static_cast<size_t>(at - read.begin());
    CHECK(reader.inputs[input].offset == call.outputs[0].offset);
    const PackedInput* const layout = reader.kernel.packed_input(input);
    CHECK((layout != nullptr) == (call.reader >= 0));
    if (layout == nullptr) continue;
    ++packed;
    CHECK(call.reader == static_cast<int32_t>(p + 1));
    CHECK(call.outputs[0].bytes == layout->bytes);
  }
  CHECK(expansions == kStored + 1);  // `shared` twice
  CHECK(packed > 0);
  CHECK(rates == std::set<Rate>{Rate::kClip, Rate::kTimestep, Rate::kStep});
  CHECK(plan_to_text(*plan, false).find(str("as stored: ", kStored, " weights")) !=
        std::string::npos);
}

TEST_CASE("a device that cannot expand has its weights expanded when they are loaded") {
  auto inner = open_device("reference");
  REQUIRE(inner.ok());
  Lacking device(std::move(*inner), {OpKind::kDequantize});
  const Network net(WeightFormat::kInt4, 32);
  const Graph graph = net.optimised(DType::kF32);
  auto expanded = make_plan(graph, device, {});
  REQUIRE_MESSAGE(expanded.ok(), expanded.status().message());
  auto asked = make_plan(graph, device, {}, nullptr, kAll);
  REQUIRE_MESSAGE(asked.ok(), asked.status().message());
  CHECK(encoded_weights(*asked).count == 0);
  CHECK(plan_to_json(*asked, true) == plan_to_json(*expanded, true));
}
