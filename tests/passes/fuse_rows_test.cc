// norm_quantize, residual_norm_quantize and activate_quantize: where they may be made, and where
// not; and attention in 8 bits.
#include "graph/passes/decompose.h"
#include "graph/passes/fuse.h"
#include "graph/passes/quantize.h"
#include "tests/passes/pass_test.h"

using namespace zoetrope;
using namespace zoetrope::passes_test;

namespace {

struct Rows {
  Builder b{"g"};
  ValueId x = b.input("x", DType::kF32, {2, 5, 8}), y = b.input("y", DType::kF32, {2, 5, 8});
  ValueId vector = b.input("vector", DType::kF32, {2, 1, 8}, Rate::kTimestep);

  ValueId modulated(ValueId norm) { return b.add(b.mul(norm, b.add(vector, b.scalar(1))), vector); }
  // h in 8 bits, as numbers again.
  void quantize(ValueId h) {
    const std::vector<ValueId> rows =
        b.add_node(OpKind::kQuantizeRows, {h}, {{"dtype", std::string("i8")}});
    b.output("q", b.mul(b.cast(rows[0], DType::kF32), rows[1]));
  }
  Graph finish() { return finished(b); }
};

// With what stands before made first. The same numbers come out.
Graph fused(const Graph& graph) {
  Graph g = graph;
  for (auto pass :
       {fuse_norm_modulate, fuse_glu, fuse_gated_residual, fuse_residual_norm, fuse_quantized_rows})
    g = apply(pass, g);
  check_same(graph, g);
  return g;
}

void check_decomposes(Graph g) {
  for (int level = 0; level < 4; ++level) {
    auto next = decompose_fused(g, [](const Node&) { return true; });
    REQUIRE(next.ok());
    g = std::move(*next);
  }
  for (const Node& node : g.nodes) CHECK(!op_def(node.op).is_fused());
  CHECK(count(g, OpKind::kQuantizeRows) == 1);
}

}  // namespace

TEST_CASE("a norm whose rows are quantised takes that in") {
  for (bool rms : {false, true})
    for (bool modulated : {false, true})
      for (bool weighted : {false, true}) {
        CAPTURE(rms);
        CAPTURE(modulated);
        CAPTURE(weighted);
        Rows g;
        const ValueId weight = weighted ? g.b.weight("weight", {8}) : kNone;
        ValueId h =
            rms ? g.b.rms_norm(g.x, weight, 1e-6) : g.b.layer_norm(g.x, weight, kNone, 1e-6);
        if (modulated) h = g.modulated(h);
        g.quantize(h);
        const Graph now = fused(g.finish());
        CHECK(count(now, OpKind::kNormQuantize) == 1);
        CHECK(count(now, OpKind::kQuantizeRows) == 0);
        check_decomposes(now);
      }
}

TEST_CASE("a residual goes with its norm") {
  for (bool read_later : {false, true}) {
    Rows g;
    const ValueId sum = g.b.add(g.x, g.b.mul(g.vector, g.y));
    g.quantize(g.modulated(g.b.layer_norm(sum, kNone, kNone, 1e-6)));
    if (read_later) g.b.output("sum", g.b.tanh(sum));
    const Graph now = fused(g.finish());
    CHECK(count(now, OpKind::kResidualNormQuantize) == 1);
    check_decomposes(now);
  }
  // What reads the sum before the rows are quantised would come too early.
  Rows g;
  const ValueId sum = g.b.add(g.x, g.y);
  const ValueId h = g.b.layer_norm(sum, kNone, kNone, 1e-6);
  g.b.output("sum", g.b.tanh(sum));
  g.quantize(h);
  CHECK(count(fused(g.finish()), OpKind::kResidualNormQuantize) == 0);
}

TEST_CASE("an activation, gated or not, goes with the rows that it makes") {
  for (bool gated : {false, true}) {
    Rows g;
    const ValueId a = g.b.silu(g.x);
    g.quantize(gated ? g.b.mul(a, g.y) : a);
    const Graph now = fused(g.finish());
    CHECK(count(now, OpKind::kActivateQuantize) == 1);
    CHECK(count(now, OpKind::kGlu) == 0);
    check_decomposes(now);
  }
}

TEST_CASE("what something else reads stays") {
  Rows g;
  const ValueId h = g.b.layer_norm(g.x, kNone, kNone, 1e-6);
  g.quantize(h);
  g.b.output("h", h);
  const Graph now = fused(g.finish());
  CHECK(count(now, OpKind::kNormQuantize) == 0);
  CHECK(count(now, OpKind::kQuantizeRows) == 1);
}

TEST_CASE("attention of every step may be set to 8 bits, and keeps that when packed") {
  Builder b("g");
  const ValueId rows = b.input("rows", DType::kF32, {2, 5, 48});
  const ValueId text = b.input("text", DType::kF32, {2, 5, 2, 8}, Rate::kClip);
  std::vector<ValueId> parts = b.split(rows, -1, 16, 3);
  for (ValueId& part : parts) part = b.reshape(part, {2, 5, 2, 8});
  b.output("y", b.attention(parts[0], parts[1], parts[2]));
  b.output("once", b.attention(text, text, text));
  auto graph = b.finish();
  REQUIRE(graph.ok());
  const auto keep = [](const QuantizeSite&) { return WeightChoice{}; };
  for (const int bits : {0, 8}) {
    auto made = quantize(*graph, keep, bits);
    REQUIRE_MESSAGE(made.ok(), made.status().message());
    CHECK(made->attentions == bits / 8);
    auto bound = zoetrope::bind(made->graph, {});
    REQUIRE(bound.ok());
    const Graph now = apply(fuse_packed_attention, *bound);
    for (const Node& node : now.nodes) {
      if (node.op == OpKind::kPackedAttention) CHECK(node.attrs.get_int("bits") == bits);
      if (node.op == OpKind::kAttention) CHECK(node.attrs.get_int("bits") == 0);
    }
    CHECK(count(now, OpKind::kPackedAttention) == 1);
    CHECK(count(now, OpKind::kAttention) == 1);
  }
}
