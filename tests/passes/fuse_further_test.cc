// residual_norm and packed_attention: where they may be made, and where not.
#include "graph/passes/decompose.h"
#include "graph/passes/fuse.h"
#include "tests/passes/pass_test.h"

using namespace zoetrope;
using namespace zoetrope::passes_test;

namespace {

struct Residual {
  Builder b{"g"};
  ValueId x = b.input("x", DType::kF32, {2, 5, 8}), y = b.input("y", DType::kF32, {2, 5, 8});
  ValueId vector = b.input("vector", DType::kF32, {2, 1, 8}, Rate::kTimestep);

  ValueId norm(ValueId v) { return b.layer_norm(v, kNone, kNone, 1e-6); }
  Graph fused() {
    Graph graph = apply(fuse_norm_modulate, finished(b));
    return apply(fuse_residual_norm, apply(fuse_gated_residual, graph));
  }
};

// Attention of one projection [2, 5, 48] in 2 heads of 8; `alter` changes q, k and v (sliced, not
// yet in heads).
template <typename Alter>
Graph packed(Alter alter, int axis = -1) {
  Builder b("g");
  const ValueId rows = b.input("rows", DType::kF32, {2, 5, 48});
  std::vector<ValueId> parts = b.split(rows, axis, 16, 3);
  alter(b, parts);
  for (ValueId& part : parts) part = b.reshape(part, {2, 5, 2, 8});
  b.output("y", b.attention(parts[0], parts[1], parts[2]));
  return apply(fuse_packed_attention, finished(b));
}

}  // namespace

TEST_CASE("a sum and the norm behind it become one node with two outputs") {
  for (bool gated : {false, true})
    for (bool modulated : {false, true})
      for (bool tapped : {false, true}) {
        CAPTURE(gated);
        CAPTURE(modulated);
        CAPTURE(tapped);
        Residual g;
        const ValueId sum = g.b.add(g.x, gated ? g.b.mul(g.vector, g.y) : g.y);
        ValueId h = g.norm(sum);
        if (modulated) h = g.b.add(g.b.mul(h, g.b.add(g.vector, g.b.scalar(1))), g.vector);
        g.b.output("h", h);
        g.b.output("next", g.b.add(sum, g.b.tanh(h)));  // reads the sum behind the norm
        if (tapped) g.b.output("sum", sum);
        const Graph fused = g.fused();
        CHECK(count(fused, OpKind::kResidualNorm) == 1);
        CHECK(fused.nodes.size() == 3);
        // Level by level: first the simpler fused ops, if any, then none.
        const auto once = decompose_fused(fused, [](const Node&) { return true; });
        REQUIRE(once.ok());
        CHECK(count(*once, OpKind::kGatedResidual) == gated);
        CHECK(count(*once, OpKind::kNormModulate) == modulated);
        const auto core = decompose_fused(*once, [](const Node&) { return true; });
        REQUIRE(core.ok());
        for (const Node& node : core->nodes) CHECK_FALSE(op_def(node.op).is_fused());
        check_same(fused, *core);
      }
}

TEST_CASE("a sum that something reads before the norm stays apart") {
  Residual g;
  const ValueId sum = g.b.add(g.x, g.y);
  const ValueId before = g.b.tanh(sum);
  g.b.output("h", g.norm(sum));
  g.b.output("before", before);
  CHECK(count(g.fused(), OpKind::kResidualNorm) == 0);
}

TEST_CASE("of two norms of one sum the first is fused") {
  Residual g;
  const ValueId sum = g.b.add(g.x, g.y);
  g.b.output("a", g.norm(sum));
  g.b.output("b", g.b.rms_norm(sum, g.b.weight("w", {8}), 1e-6));
  const Graph fused = g.fused();
  CHECK(count(fused, OpKind::kResidualNorm) == 1);
  CHECK(count(fused, OpKind::kRmsNorm) == 1);
}

TEST_CASE("a chain of residuals is fused link by link") {
  Residual g;
  ValueId x = g.x;
  for (int i = 0; i < 4; ++i) x = g.b.add(x, g.b.mul(g.vector, g.b.tanh(g.norm(x))));
  g.b.output("y", g.norm(x));
  CHECK(count(g.fused(), OpKind::kResidualNorm) == 4);
}

TEST_CASE("sums that broadcast, and sums of a slower rate, stay apart") {
  Residual g;
  g.b.output("broadcast", g.norm(g.b.add(g.x, g.vector)));
  const ValueId slow = g.b.input("slow", DType::kF32, {2, 5, 8}, Rate::kClip);
  const ValueId h = g.norm(g.b.add(slow, slow));  // the norm is as slow, its modulation is not
  g.b.output("slow", g.b.add(g.b.mul(h, g.b.add(g.vector, g.b.scalar(1))), g.vector));
  CHECK(count(g.fused(), OpKind::kResidualNorm) == 0);
}

TEST_CASE("attention reads its part of packed rows itself") {
  const auto keep = [](Builder&, std::vector<ValueId>&) {};
  for (int axis : {-1, 2}) {
    const Graph fused = packed(keep, axis);
    CHECK(fused.nodes.size() == 1);
    CHECK(count(fused, OpKind::kPackedAttention) == 1);
  }
  // One of the three may be whole.
  const Graph mixed =
      packed([](Builder& b, std::vector<ValueId>& parts) { parts[0] = b.tanh(parts[0]); });
  CHECK(count(mixed, OpKind::kPackedAttention) == 1);
  CHECK(count(mixed, OpKind::kSlice) == 1);
}

TEST_CASE("attention stays where no slice would go") {
  const Graph others = packed([](Builder& b, std::vector<ValueId>& parts) {
    for (size_t i = 0; i < 3; ++i) b.output(str("part", i), parts[i]);
  });
  CHECK(count(others, OpKind::kPackedAttention) == 0);
  const Graph whole = packed([](Builder& b, std::vector<ValueId>& parts) {
    for (ValueId& part : parts) part = b.tanh(part);
  });
  CHECK(count(whole, OpKind::kPackedAttention) == 0);
}

TEST_CASE("heads that are no columns of rows stay") {
  // Every third column; and heads in front of tokens.
  Builder b("g");
  const ValueId rows = b.input("rows", DType::kF32, {2, 5, 48});
  const ValueId third = b.reshape(b.slice(rows, 2, 0, Builder::kToEnd, 3), {2, 5, 2, 8});
  b.output("y", b.attention(third, third, third));
  const ValueId turned =
      b.transpose(b.reshape(b.slice(rows, 2, 0, 16), {2, 2, 5, 8}), {0, 2, 1, 3});
  b.output("z", b.attention(turned, turned, turned));
  CHECK(count(apply(fuse_packed_attention, finished(b)), OpKind::kPackedAttention) == 0);
}
