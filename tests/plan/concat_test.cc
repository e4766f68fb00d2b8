// A concat of many inputs, weights among them, from plan to result on every device.
#include <doctest/doctest.h>

#include "graph/builder.h"
#include "graph/evaluate.h"
#include "runtime/plan/planner.h"
#include "runtime/plan/session.h"
#include "tests/devices.h"

using namespace zoetrope;

namespace {

constexpr int64_t kParts = 41, kRows = 3, kColumns = 5;

// Part p holds p, p + 100, p + 200, ... in row-major order.
std::vector<double> part(int64_t p) {
  std::vector<double> values(kRows * kColumns);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<double>(p + 100 * i);
  return values;
}

// The concatenation along the columns by numpy.concatenate's definition.
std::vector<float> joined() {
  std::vector<float> all;
  for (int64_t r = 0; r < kRows; ++r)
    for (int64_t p = 0; p < kParts; ++p)
      for (int64_t c = 0; c < kColumns; ++c)
        all.push_back(static_cast<float>(p + 100 * (r * kColumns + c)));
  return all;
}

// With `weights`, all parts but the first are weights of the model; else inputs of the graph.
void check_concat(const char* backend, bool weights) {
  CAPTURE(backend);
  Builder b("net");
  MemoryWeights held;
  std::vector<ValueId> parts;
  for (int64_t p = 0; p < kParts; ++p) {
    const std::string name = "part" + std::to_string(p);
    if (weights && p > 0) {
      parts.push_back(b.weight(name, {kRows, kColumns}));
      held.add(name, DType::kF32, {Shape{kRows, kColumns}, part(p)});
    } else {
      parts.push_back(b.input(name, DType::kF32, {kRows, kColumns}));
    }
  }
  b.output("y", b.concat(parts, 1));
  auto graph = b.finish();
  REQUIRE_MESSAGE(graph.ok(), graph.status().message());
  auto bound = bind(*graph, {});
  REQUIRE_MESSAGE(bound.ok(), bound.status().message());

  auto device = open_device(backend);
  REQUIRE_MESSAGE(device.ok(), device.status().message());
  auto plan = make_plan(std::move(*bound), **device, {});
  REQUIRE_MESSAGE(plan.ok(), plan.status().message());
  WeightStore store(**device, held);
  auto session = Session::create(std::move(*plan), store);
  REQUIRE_MESSAGE(session.ok(), session.status().message());
  for (int64_t p = 0; p < (weights ? 1 : kParts); ++p) {
    const auto values = part(p);
    const std::vector<float> data(values.begin(), values.end());
    REQUIRE((*session)->set_input("part" + std::to_string(p), std::span<const float>(data)).ok());
  }
  const Status ran = (*session)->run();
  REQUIRE_MESSAGE(ran.ok(), ran.message());
  std::vector<float> found(kRows * kColumns * kParts, -1);
  REQUIRE((*session)->get_output("y", found.data(), static_cast<int64_t>(found.size() * 4)).ok());
  CHECK(found == joined());
}

}  // namespace

TEST_CASE("a concat joins one input and forty weights, and forty-one inputs, on every device") {
  for (const char* backend : {"reference", "cpu", "vulkan", "cuda"}) {
    if (!has_device(backend)) continue;
    check_concat(backend, true);
    check_concat(backend, false);
  }
}
