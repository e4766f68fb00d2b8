#include "graph/passes/split.h"

#include "graph/passes/pipeline.h"
#include "tests/passes/pass_test.h"

using namespace zoetrope;
using namespace zoetrope::passes_test;

namespace {

Rate rate_of(const Graph& graph, std::string_view name) {
  const ValueId id = graph.find_value(name);
  REQUIRE(id != kNone);
  return graph.value(id).rate;
}

double step_flops(const Graph& graph) {
  return rate_report(graph).cost[static_cast<size_t>(Rate::kStep)].flops;
}

}  // namespace

TEST_CASE("rates follow the data of a naively written block") {
  Builder b("g");
  const ValueId x = b.input("x", DType::kF32, {1, 8, 16}, Rate::kStep);
  const ValueId text = b.input("text", DType::kF32, {1, 4, 16}, Rate::kClip);
  const ValueId time = b.input("time", DType::kF32, {1, 16}, Rate::kTimestep);
  const ValueId modulation = b.linear("modulation", b.silu(time), 16, 16);
  const ValueId keys = b.reshape(b.linear("keys", text, 16, 16), {1, 4, 2, 8});
  const ValueId position = b.sin(b.reshape(b.iota(16), {1, 1, 16}));
  const ValueId q = b.reshape(b.add(b.mul(x, modulation), position), {1, 8, 2, 8});
  b.output("y", b.attention(q, keys, keys));
  const Graph graph = finished(b);
  CHECK(rate_of(graph, "modulation") == Rate::kTimestep);
  CHECK(rate_of(graph, "keys") == Rate::kClip);
  CHECK(rate_of(graph, "sin") == Rate::kShape);
  const RateReport report = rate_report(graph);
  CHECK(report.flops() == doctest::Approx(graph_cost(graph).flops));
  CHECK(report.share(Rate::kClip) * report.flops() == doctest::Approx(2 * 4 * 16 * 16 + 4 * 16));
  CHECK(report.to_string().find("clip") != std::string::npos);
  CHECK(report.to_string().find("weights") == std::string::npos);
}

TEST_CASE("rows that change less often are multiplied apart, with the work on the way") {
  for (bool text_first : {false, true}) {
    CAPTURE(text_first);
    Builder b("g");
    const ValueId x = b.input("x", DType::kF32, {2, 6, 48}, Rate::kStep);
    const ValueId text = b.input("text", DType::kF32, {2, 5, 48}, Rate::kClip);
    const ValueId known = b.input("known", DType::kF32, {2, 3, 48}, Rate::kClip);
    ValueId h = b.concat(
        text_first ? std::vector<ValueId>{text, known, x} : std::vector<ValueId>{text, x, known},
        1);
    h = b.mul(b.rms_norm(h, b.weight("w", {48}), 1e-6), b.weight("gain", {2, 1, 48}));
    h = b.linear("second", b.silu(b.linear("first", h, 48, 40)), 40, 32);
    b.output("y", h);
    const Graph graph = finished(b);
    CHECK(rate_of(graph, "first") == Rate::kStep);
    const Graph split = apply(split_by_rate, graph);
    CHECK(count(split, OpKind::kMatmul) == (text_first ? 4 : 6));
    // 6 of 14 rows are left for every step, but for the bias behind the last product.
    CHECK(step_flops(split) < 0.5 * step_flops(graph));
    CHECK(rate_report(split).cost[static_cast<size_t>(Rate::kClip)].flops >
          0.5 * step_flops(graph));
  }
}

TEST_CASE("near misses are left whole") {
  for (int variant = 0; variant < 5; ++variant) {
    CAPTURE(variant);
    Builder b("g");
    const ValueId x = b.input("x", DType::kF32, {6, 32}, Rate::kStep);
    const ValueId y = b.input("y", DType::kF32, {6, 32}, variant == 0 ? Rate::kStep : Rate::kClip);
    const ValueId tiny = b.input("tiny", DType::kF32, {1, 4}, Rate::kClip);
    const ValueId narrow = b.input("narrow", DType::kF32, {6, 4}, Rate::kStep);
    ValueId h = kNone;
    switch (variant) {
      case 0: h = b.concat({x, y}, 0); break;                                    // equal rates
      case 1: h = b.concat({x, y}, 1); break;                                    // the summed axis
      case 2: h = b.concat({narrow, tiny}, 0); break;                            // not worth it
      case 3: h = b.mul(b.concat({x, y}, 0), b.weight("rows", {12, 1})); break;  // differs by row
      case 4:
        h = b.mul(b.concat({x, y}, 0), b.reduce(OpKind::kReduceMean, x, {0, 1}));
        break;  // all step
    }
    const int64_t in = variant == 1 ? 64 : variant == 2 ? 4 : 32;
    b.output("z", b.linear("fc", h, in, 8, false));
    CHECK(count(apply(split_by_rate, finished(b)), OpKind::kMatmul) == 1);
  }
}

TEST_CASE("a split value that is also read whole keeps its whole") {
  Builder b("g");
  const ValueId x = b.input("x", DType::kF32, {6, 32}, Rate::kStep);
  const ValueId y = b.input("y", DType::kF32, {6, 32}, Rate::kClip);
  const ValueId h = b.silu(b.concat({x, y}, 0));
  b.output("z", b.linear("fc", h, 32, 8));
  b.output("q", b.linear("q", h, 32, 8));
  b.output("h", h);
  const Graph split = apply(split_by_rate, finished(b));
  CHECK(count(split, OpKind::kMatmul) == 4);
  CHECK(count(split, OpKind::kSilu) == 3);  // the whole, and two pieces that both products share
}
