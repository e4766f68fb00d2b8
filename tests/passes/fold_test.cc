#include "graph/passes/fold.h"

#include "graph/passes/fold_weights.h"
#include "tests/passes/pass_test.h"

using namespace zoetrope;
using namespace zoetrope::passes_test;

namespace {

// Constants are rounded to f32 when they are folded.
constexpr double kRounding = 1e-6;

double only_fill(const Graph& graph) {
  for (const Node& node : graph.nodes)
    if (node.op == OpKind::kFill) return node.attrs.get_float("value");
  return NAN;
}

}  // namespace

TEST_CASE("arithmetic on constants becomes one constant") {
  Builder b("g");
  const ValueId x = b.input("x", DType::kF32, {2, 3});
  // (exp(0.5) · 4 + sum of 10 twos) / 2, through a reshape, a broadcast and a cast.
  const ValueId sum = b.reduce(OpKind::kReduceSum, b.fill(2, {10}), {0});
  const ValueId c =
      b.div(b.add(b.mul(b.exp(b.scalar(0.5)), b.scalar(4)), b.reshape(sum, {})), b.scalar(2));
  b.output("y", b.mul(x, b.cast(b.cast(b.broadcast(c, {2, 3}), DType::kF64), DType::kF32)));
  const Graph folded = apply(fold_constants, finished(b), kRounding);
  CHECK(folded.nodes.size() == 2);
  CHECK(only_fill(folded) == doctest::Approx((std::exp(0.5) * 4 + 20) / 2));
}

TEST_CASE("comparisons and selects of constants fold, to either branch") {
  for (double limit : {1.0, 3.0}) {
    Builder b("g");
    const ValueId x = b.input("x", DType::kF32, {4}), y = b.input("y", DType::kF32, {4});
    const ValueId less = b.op(OpKind::kLess, {b.scalar(2), b.scalar(limit)});
    b.output("z", b.silu(b.select(less, x, y)));
    CHECK(apply(fold_constants, finished(b)).nodes.size() == 1);
  }
}

TEST_CASE("a scaled and shifted iota stays an iota") {
  Builder b("g");
  const ValueId x = b.input("x", DType::kF32, {6});
  const ValueId half = b.mul(b.scalar(0.5), b.add(b.iota(6, 1, 2), b.scalar(3)));
  b.output("y", b.mul(x, b.sub(b.scalar(1), b.div(half, b.scalar(-4)))));
  const Graph folded = apply(fold_constants, finished(b), kRounding);
  CHECK(count(folded, OpKind::kIota) == 1);
  CHECK(folded.nodes.size() == 2);
}

TEST_CASE("an integer iota stays as it is, and overflow is left to run time") {
  Builder b("g");
  const ValueId i = b.mul(b.iota(5, 0, 1, DType::kI32), b.scalar(2, DType::kI32));
  b.output("i", b.cast(i, DType::kF32));
  const ValueId x = b.input("x", DType::kF32, {1});
  b.output("y", b.op(OpKind::kMin, {x, b.mul(b.scalar(1e38), b.scalar(1e38))}));
  const Graph folded = apply(fold_constants, finished(b));
  CHECK(count(folded, OpKind::kMul) == 2);
}

TEST_CASE("what changes nothing goes") {
  Builder b("g");
  ValueId x = b.input("x", DType::kF32, {2, 3, 4});
  x = b.reshape(x, {2, 3, 4});
  x = b.transpose(x, {0, 1, 2});
  x = b.broadcast(x, {2, 3, 4});
  x = b.slice(x, 1, 0, 3);
  x = b.concat({x}, 2);
  x = b.pad(x, {0, 0, 0}, {0, 0, 0});
  x = b.repeat(x, 0, 1);
  x = b.cast(x, DType::kF32);
  x = b.mul(b.add(b.sub(b.div(x, b.scalar(1)), b.fill(0, {4})), b.scalar(0)), b.scalar(1));
  b.output("y", b.silu(x));
  CHECK(apply(fold_constants, finished(b)).nodes.size() == 1);
}

TEST_CASE("what leaves the graph is still made by a node") {
  Builder b("g");
  const ValueId x = b.input("x", DType::kF32, {2});
  b.output("y", b.reshape(x, {2}));
  const Graph folded = apply(fold_constants, finished(b));
  CHECK(folded.nodes.size() == 1);
  CHECK(folded.value(folded.outputs[0].value).kind == ValueKind::kNode);
}

TEST_CASE("adding a zero that broadcasts, or multiplying into a wider shape, is kept") {
  Builder b("g");
  const ValueId x = b.input("x", DType::kF32, {1, 3});
  b.output("y", b.add(x, b.fill(0, {2, 1})));
  b.output("z", b.sub(b.scalar(0), x));
  b.output("w", b.div(b.scalar(1), x));
  CHECK(apply(fold_constants, finished(b)).nodes.size() == 6);
}

TEST_CASE("views of views and moves of moves are joined") {
  Builder b("g");
  const ValueId x = b.input("x", DType::kF32, {2, 3, 4, 1});
  b.output("a", b.reshape(b.reshape(x, {6, 4}), {3, 8}));
  b.output("b", b.transpose(b.transpose(x, {2, 0, 1, 3}), {1, 0, 2, 3}));  // 0, 2, 1, 3 of x
  b.output("back", b.silu(b.transpose(b.transpose(x, {1, 2, 0, 3}), {2, 0, 1, 3})));
  b.output("still", b.transpose(x, {3, 0, 1, 2}));  // only the 1 moves
  const Graph folded = apply(fold_constants, finished(b));
  CHECK(count(folded, OpKind::kTranspose) == 1);
  CHECK(count(folded, OpKind::kReshape) == 2);
  CHECK(folded.nodes.size() == 4);
}

TEST_CASE("slices of slices and of concats read the source") {
  Builder b("g");
  const ValueId x = b.input("x", DType::kF32, {2, 20}), y = b.input("y", DType::kF32, {2, 5});
  b.output("a", b.slice(b.slice(x, 1, 3, 17, 2), 1, 1, -1, 3));
  const ValueId both = b.concat({x, y}, 1);
  b.output("b", b.slice(both, 1, 21, 24, 2));                     // within y
  b.output("c", b.silu(b.slice(both, -1, 20, Builder::kToEnd)));  // y itself
  b.output("d", b.slice(both, 1, 19, 21));                        // over the seam
  b.output("e", b.slice(both, 0, 1, 2));                          // across the parts
  const Graph folded = apply(fold_constants, finished(b));
  CHECK(count(folded, OpKind::kSlice) == 4);
  CHECK(count(folded, OpKind::kConcat) == 1);
}

TEST_CASE("cutting and joining again is nothing; shuffled or partial cuts stay") {
  Builder b("g");
  const ValueId x = b.input("x", DType::kF32, {2, 6});
  const std::vector<ValueId> p = b.split(x, 1, 2, 3);
  b.output("whole", b.silu(b.concat(p, 1)));
  b.output("shuffled", b.concat({p[1], p[0], p[2]}, 1));
  b.output("part", b.concat({p[0], p[1]}, 1));
  b.output("nested", b.silu(b.concat({b.concat({p[0], p[1]}, 1), p[2]}, 1)));
  CHECK(count(apply(fold_constants, finished(b)), OpKind::kConcat) == 2);
}

TEST_CASE("nested concats are taken apart as far as a node may have inputs, and no further") {
  const auto nested = [](const std::vector<int>& counts) {
    Builder b("g");
    ValueId x = b.input("x", DType::kF32, {1, 1});
    for (const int count : counts)
      x = b.concat(std::vector<ValueId>(static_cast<size_t>(count), x), 0);
    b.output("y", b.silu(x));
    const auto folded = fold_constants(finished(b));  // too large to evaluate
    REQUIRE_MESSAGE(folded.ok(), folded.status().message());
    CHECK(verify(*folded).ok());
    size_t most = 0;
    for (const Node& node : folded->nodes) most = std::max(most, node.inputs.size());
    return std::pair{count(*folded, OpKind::kConcat), most};
  };
  CHECK(nested({16, 16}) == std::pair{1, size_t{256}});
  CHECK(nested({64, 63}) == std::pair{1, size_t{4032}});
  CHECK(nested({20, 20, 20}).second <= kMaxNodeInputs);  // 8,000 together
  CHECK(nested({4096, 4096}).second <= kMaxNodeInputs);
  CHECK(nested(std::vector<int>(40, 2)).second <= kMaxNodeInputs);  // 2^40 together
}

TEST_CASE("a cast back from a wider type goes, one through a narrower type stays") {
  Builder b("g");
  const ValueId x = b.input("x", DType::kBF16, {4}), y = b.input("y", DType::kF32, {4});
  b.output("a", b.silu(b.cast(b.cast(x, DType::kF32), DType::kBF16)));
  b.output("b", b.cast(b.cast(x, DType::kF32), DType::kF16));
  b.output("c", b.silu(b.cast(b.cast(y, DType::kBF16), DType::kF32)));
  CHECK(count(apply(fold_constants, finished(b)), OpKind::kCast) == 3);
}

TEST_CASE("weight-only work becomes a weight with the same values") {
  // Weight normalisation, g·v/‖v‖, and a gain stored as an offset from one.
  const Dim length = Dim::symbol("length");
  Builder b("net");
  const ValueId x = b.input("x", DType::kF32, {length, 6});
  const ValueId v = b.weight("v", {4, 6}), g = b.weight("g", {4, 1});
  const ValueId norm = b.unary(OpKind::kSqrt, b.reduce(OpKind::kReduceSum, b.mul(v, v), {1}));
  const ValueId y = b.matmul(x, b.mul(g, b.div(v, norm)), true);
  b.output("y", b.mul(y, b.add(b.weight("gain", {4}), b.scalar(1))));
  b.output("plain", b.matmul(x, v, true));
  auto graph = b.finish();
  REQUIRE(graph.ok());
  auto folded = fold_weights(*graph);
  REQUIRE_MESSAGE(folded.ok(), folded.status().message());
  CHECK(verify(folded->graph).ok());
  CHECK(folded->weights.size() == 2);
  CHECK(folded->graph.nodes.size() == 3);      // two products and the gain's multiplication
  CHECK(folded->graph.weights().size() == 3);  // v is still read as it is

  std::mt19937 random(5);
  MemoryWeights weights;
  for (const auto& [name, shape] :
       {std::pair<const char*, Shape>{"v", {4, 6}}, {"g", {4, 1}}, {"gain", {4}}})
    weights.add(name, DType::kF32, random_tensor(shape, random));
  const FoldedWeights source(weights, folded->weights);
  CHECK(source.type("v")->shape == Shape{4, 6});
  auto expected = zoetrope::bind(*graph, {{"length", 3}});
  auto got = zoetrope::bind(folded->graph, {{"length", 3}});
  REQUIRE(expected.ok());
  REQUIRE(got.ok());
  const EvalTensors inputs{{"x", random_tensor({3, 6}, random)}};
  auto a = reference_evaluate(*expected, inputs, weights),
       c = reference_evaluate(*got, inputs, source);
  REQUIRE(a.ok());
  REQUIRE_MESSAGE(c.ok(), c.status().message());
  check_close(*a, *c, kRounding);
  CHECK_FALSE(source.load("nothing").ok());
}

TEST_CASE("weights that grow, meet symbols or leave the graph are not folded") {
  Builder b("net");
  const ValueId x = b.input("x", DType::kF32, {Dim::symbol("length"), 64});
  const ValueId w = b.weight("w", {1, 64});
  b.output("grown", b.matmul(x, b.broadcast(w, {100, 64}), true));
  b.output("symbolic", b.add(x, b.broadcast(w, {Dim::symbol("length"), 64})));
  b.output("constant", b.silu(w));
  auto graph = b.finish();
  REQUIRE(graph.ok());
  auto folded = fold_weights(*graph);
  REQUIRE(folded.ok());
  CHECK(folded->weights.empty());
  CHECK(folded->graph.nodes.size() == graph->nodes.size());
}
