// Passes against the graph they change: the same values in double, and only where they may fire.
#include "graph/passes/cleanup.h"
#include "graph/passes/fuse.h"
#include "graph/passes/pipeline.h"
#include "tests/passes/pass_test.h"

using namespace zoetrope;
using namespace zoetrope::passes_test;

TEST_CASE("matmul, bias and activation become one node") {
  for (OpKind activation : {OpKind::kSilu, OpKind::kGeluTanh, OpKind::kGelu}) {
    Builder b("g");
    const ValueId x = b.input("x", DType::kF32, {2, 5, 7});
    b.output("y", b.unary(activation, b.linear("fc", x, 7, 3)));
    b.output("z", b.linear("plain", x, 7, 4));
    const Graph fused = apply(fuse_contractions, finished(b));
    CHECK(count(fused, OpKind::kLinear) == 2);
    CHECK(fused.nodes.size() == 2);
  }
}

TEST_CASE("a product that something else reads stays") {
  Builder b("g");
  const ValueId x = b.input("x", DType::kF32, {2, 7});
  const ValueId y = b.linear("fc", x, 7, 3, false);
  b.output("raw", y);
  b.output("y", b.add(y, b.weight("bias", {3})));
  const Graph graph = finished(b);
  CHECK(count(apply(fuse_contractions, graph), OpKind::kLinear) == 0);
}

TEST_CASE("a bias that is no vector over the channels is no bias") {
  Builder b("g");
  const ValueId x = b.input("x", DType::kF32, {3, 7});
  b.output("y", b.add(b.linear("fc", x, 7, 3, false), b.weight("column", {3, 1})));
  CHECK(count(apply(fuse_contractions, finished(b)), OpKind::kLinear) == 0);
}

TEST_CASE("a product of two activations stays a matmul") {
  Builder b("g");
  const ValueId x = b.input("x", DType::kF32, {2, 3, 4}), y = b.input("y", DType::kF32, {2, 4, 5});
  b.output("z", b.add(b.matmul(x, y), b.weight("bias", {5})));
  CHECK(count(apply(fuse_contractions, finished(b)), OpKind::kLinear) == 0);
}

TEST_CASE("a replicate pad in front of a convolution is absorbed") {
  Builder b("g");
  const ValueId x = b.input("x", DType::kF32, {1, 5, 6, 3});
  const ValueId padded = b.pad(x, {0, 1, 0, 0}, {0, 2, 0, 0}, "replicate");
  const ValueId y = b.conv(padded, b.weight("w", {4, 3, 3, 3}),
                           {.stride = {2, 1}, .dilation = {}, .pad_lo = {0, 1}, .pad_hi = {0, 1}});
  b.output("y", b.silu(b.add(y, b.weight("bias", {4}))));
  const Graph fused = apply(fuse_contractions, finished(b));
  CHECK(fused.nodes.size() == 1);
  CHECK(count(fused, OpKind::kConvBias) == 1);
}

TEST_CASE("pads that the convolution cannot do itself stay") {
  // Along channels, by reflection, and where the convolution pads the same axis with zeros.
  for (int variant : {0, 1, 2}) {
    CAPTURE(variant);
    Builder b("g");
    const ValueId x = b.input("x", DType::kF32, {1, 5, 3});
    const int64_t channels = variant == 0 ? 4 : 3, zeros = variant == 2 ? 1 : 0;
    const ValueId padded = b.pad(x, {0, variant == 0 ? 0 : 1, 0}, {0, 0, variant == 0 ? 1 : 0},
                                 variant == 1 ? "reflect" : "replicate");
    const ValueId y = b.conv(padded, b.weight("w", {2, 3, channels}),
                             {.stride = {}, .dilation = {}, .pad_lo = {zeros}, .pad_hi = {zeros}});
    b.output("y", b.add(y, b.weight("bias", {2})));
    const Graph fused = apply(fuse_contractions, finished(b));
    CHECK(count(fused, OpKind::kPad) == 1);
    CHECK(count(fused, OpKind::kConvBias) == 1);
  }
}

TEST_CASE("adaLN becomes norm_modulate, whichever way it is written") {
  for (int variant : {0, 1, 2, 3}) {
    CAPTURE(variant);
    Builder b("g");
    const ValueId x = b.input("x", DType::kF32, {2, 5, 8});
    const ValueId scale = b.input("scale", DType::kF32, {2, 1, 8}, Rate::kTimestep);
    const ValueId shift = b.input("shift", DType::kF32, {2, 1, 8}, Rate::kTimestep);
    const ValueId norm = variant & 1
                             ? b.rms_norm(x, kNone, 1e-6)
                             : b.layer_norm(x, b.weight("w", {8}), b.weight("b", {8}), 1e-6);
    const ValueId factor =
        variant & 1 ? b.add(scale, b.scalar(1)) : b.add(b.fill(1, {2, 1, 8}), scale);
    const ValueId scaled = variant & 2 ? b.mul(factor, norm) : b.mul(norm, factor);
    b.output("y", variant & 1 ? b.add(shift, scaled) : b.add(scaled, shift));
    const Graph fused = apply(fuse_norm_modulate, finished(b));
    CHECK(fused.nodes.size() == 1);
    CHECK(count(fused, OpKind::kNormModulate) == 1);
  }
}

TEST_CASE("a scale without its one is not a modulation") {
  Builder b("g");
  const ValueId x = b.input("x", DType::kF32, {2, 5, 8}), s = b.input("s", DType::kF32, {2, 1, 8});
  b.output("y", b.add(b.mul(b.rms_norm(x, kNone, 1e-6), b.add(s, b.scalar(2))), s));
  CHECK(count(apply(fuse_norm_modulate, finished(b)), OpKind::kNormModulate) == 0);
}

TEST_CASE("q/k norm and rope become one node, over a head or over the full width") {
  for (bool full : {false, true}) {
    CAPTURE(full);
    Builder b("g");
    const ValueId x = b.input("x", DType::kF32, {2, 3, 16});
    const ValueId cos = b.input("cos", DType::kF32, {1, 3, 1, 4}, Rate::kShape);
    const ValueId sin = b.input("sin", DType::kF32, {1, 3, 1, 4}, Rate::kShape);
    const std::vector<Dim> heads{2, 3, 2, 8};
    const ValueId y = full ? b.reshape(b.rms_norm(x, b.weight("w", {16}), 1e-5), heads)
                           : b.rms_norm(b.reshape(x, heads), b.weight("w", {8}), 1e-5);
    b.output("y", b.rope(y, cos, sin, full ? "interleaved" : "split"));
    const Graph fused = apply(fuse_norm_rope, finished(b));
    CHECK(count(fused, OpKind::kNormRope) == 1);
    CHECK(count(fused, OpKind::kRmsNorm) == 0);
  }
}

TEST_CASE("gated units and gated residuals") {
  Builder b("g");
  const ValueId x = b.input("x", DType::kF32, {2, 5, 8}), y = b.input("y", DType::kF32, {2, 5, 8});
  const ValueId gate = b.input("gate", DType::kF32, {2, 1, 8});
  b.output("glu", b.mul(b.silu(x), y));
  b.output("residual", b.add(b.mul(gate, y), x));
  Graph fused = apply(fuse_glu, finished(b));
  CHECK(count(fused, OpKind::kGlu) == 1);
  fused = apply(fuse_gated_residual, fused);
  CHECK(count(fused, OpKind::kGatedResidual) == 1);
  CHECK(fused.nodes.size() == 2);
}

TEST_CASE("a residual and the norm that reads it first become one node with both outputs") {
  Builder b("g");
  const ValueId x = b.input("x", DType::kF32, {2, 4, 8}), y = b.input("y", DType::kF32, {2, 4, 8}),
                z = b.input("z", DType::kF32, {2, 4, 8});
  const ValueId gate = b.input("gate", DType::kF32, {2, 1, 8}),
                scale = b.input("scale", DType::kF32, {2, 1, 8});
  const ValueId first = b.add(x, b.mul(gate, y));
  const ValueId h =
      b.add(b.mul(b.layer_norm(first, kNone, kNone, 1e-6), b.add(scale, b.scalar(1))), scale);
  const ValueId second = b.add(first, b.mul(z, h));  // z is as wide: no gate
  const ValueId third = b.add(first, second);
  b.output("h", h);
  b.output("sum", third);
  b.output("normed", b.rms_norm(third, b.weight("w", {8}), 1e-5));
  Graph graph = apply(fuse_norm_modulate, finished(b));
  graph = apply(fuse_residual_norm, apply(fuse_gated_residual, graph));
  CHECK(count(graph, OpKind::kResidualNorm) == 2);
  CHECK(count(graph, OpKind::kGatedResidual) == 0);
  CHECK(count(graph, OpKind::kNormModulate) == 0);
  CHECK(count(graph, OpKind::kRmsNorm) == 0);
}

TEST_CASE("a residual that others read before its norm, or of another rate, stays") {
  Builder b("g");
  const ValueId x = b.input("x", DType::kF32, {4, 8}), y = b.input("y", DType::kF32, {4, 8});
  const ValueId sum = b.add(x, y);
  b.output("early", b.silu(sum));
  b.output("normed", b.rms_norm(sum, kNone, 1e-5));
  const ValueId slow = b.input("slow", DType::kF32, {4, 8}, Rate::kClip),
                scale = b.input("scale", DType::kF32, {1, 8});
  const ValueId once = b.add(slow, slow);
  b.output("often",
           b.add(b.mul(b.layer_norm(once, kNone, kNone, 1e-6), b.add(scale, b.scalar(1))), scale));
  const ValueId wide = b.add(x, b.input("row", DType::kF32, {8}));
  b.output("broadcast", b.layer_norm(wide, kNone, kNone, 1e-6));
  Graph graph = finished(b);
  propagate_rates(&graph);
  graph = apply(fuse_residual_norm, apply(fuse_norm_modulate, graph));
  CHECK(count(graph, OpKind::kNormModulate) == 1);
  CHECK(count(graph, OpKind::kResidualNorm) == 0);
}

TEST_CASE("attention over slices of a projection reads the projection") {
  Builder b("g");
  const ValueId qkv = b.input("qkv", DType::kF32, {2, 5, 48});
  std::vector<ValueId> parts = b.split(qkv, -1, 16, 3);
  for (ValueId& part : parts) part = b.reshape(part, {2, 5, 4, 4});
  b.output("y", b.attention(parts[0], parts[1], parts[2]));
  const Graph graph = apply(fuse_packed_attention, finished(b));
  REQUIRE(count(graph, OpKind::kPackedAttention) == 1);
  CHECK(graph.nodes.size() == 1);
  const Attrs& attrs = graph.nodes[0].attrs;
  CHECK(attrs.get_int("q_offset") == 0);
  CHECK(attrs.get_int("k_offset") == 16);
  CHECK(attrs.get_int("v_offset") == 32);
  CHECK(attrs.get_int("heads") == 4);
}

TEST_CASE("attention over whole tensors, steps or other reshapes is not packed") {
  Builder b("g");
  const ValueId x = b.input("x", DType::kF32, {2, 6, 32});
  const ValueId whole = b.reshape(x, {2, 6, 4, 8});
  b.output("whole", b.attention(whole, whole, whole));
  const ValueId stepped = b.reshape(b.slice(x, 2, 0, 32, 2), {2, 6, 2, 8});
  b.output("stepped", b.attention(stepped, stepped, stepped));
  const ValueId folded = b.reshape(b.slice(x, 2, 0, 16), {2, 3, 4, 8});
  b.output("folded", b.attention(folded, folded, folded));
  const ValueId tokens = b.reshape(b.slice(x, 1, 0, 3), {2, 3, 4, 8});
  b.output("tokens", b.attention(tokens, tokens, tokens));
  CHECK(count(apply(fuse_packed_attention, finished(b)), OpKind::kPackedAttention) == 0);
}

TEST_CASE("a self-gated activation is not a gated unit, a wider product no gated residual") {
  Builder b("g");
  const ValueId x = b.input("x", DType::kF32, {1, 8}), y = b.input("y", DType::kF32, {4, 8});
  const ValueId s = b.silu(x);
  b.output("a", b.mul(s, s));
  b.output("b", b.add(x, b.mul(y, x)));
  const Graph graph = finished(b);
  CHECK(count(apply(fuse_glu, graph), OpKind::kGlu) == 0);
  CHECK(count(apply(fuse_gated_residual, graph), OpKind::kGatedResidual) == 0);
}

TEST_CASE("common code becomes one, dead code goes, and the signature stays") {
  Builder b("g");
  const ValueId x = b.input("x", DType::kF32, {4, 4});
  b.input("unused", DType::kF32, {1});
  b.output("y", b.add(b.silu(x), b.silu(x)));
  b.matmul(x, b.weight("dead", {4, 4}));
  const Graph graph = apply(eliminate_common, finished(b));
  CHECK(graph.nodes.size() == 2);
  CHECK(graph.weights().empty());
  CHECK(graph.inputs.size() == 2);
}

TEST_CASE("nodes that differ only in an attribute are not common") {
  Builder b("g");
  const ValueId x = b.input("x", DType::kF32, {4, 4});
  b.output("y", b.add(b.rms_norm(x, kNone, 1e-6), b.rms_norm(x, kNone, 1e-5)));
  CHECK(apply(eliminate_common, finished(b)).nodes.size() == 3);
}

TEST_CASE("stored dtypes get casts only where ops need equal dtypes") {
  Builder b("g");
  const ValueId x = b.input("x", DType::kF32, {2, 8});
  const ValueId h = b.rms_norm(b.linear("fc", x, 8, 8, false), b.weight("norm", {8}), 1e-6);
  b.output("y", b.mul(h, b.weight("gain", {8})));
  const Graph graph = finished(b);
  const auto storage = [](std::string_view) -> Result<DType> { return DType::kF16; };
  auto f32 = choose_precision(graph, DType::kF32, storage);
  REQUIRE(f32.ok());
  CHECK(verify(*f32).ok());
  CHECK(count(*f32, OpKind::kCast) == 1);  // the gain
  CHECK(f32->value(f32->outputs[0].value).type.dtype == DType::kF32);
  auto bf16 = choose_precision(graph, DType::kBF16, storage);
  REQUIRE(bf16.ok());
  CHECK(verify(*bf16).ok());
  CHECK(bf16->value(bf16->find_value("fc")).type.dtype == DType::kBF16);
  CHECK(bf16->value(bf16->outputs[0].value).type.dtype == DType::kF32);  // the signature stays
  CHECK_FALSE(choose_precision(graph, DType::kI32, storage).ok());
}

TEST_CASE("observers see every pass by name") {
  Builder b("g");
  b.output("y", b.silu(b.linear("fc", b.input("x", DType::kF32, {2, 8}), 8, 8)));
  const Graph plain = finished(b);
  std::vector<std::string> seen;
  PassOptions options;
  options.storage = [](std::string_view) -> Result<DType> { return DType::kF32; };
  options.observer = [&](std::string_view pass, const Graph&) { seen.emplace_back(pass); };
  auto graph = run_passes(plain, options);
  REQUIRE(graph.ok());
  CHECK(graph->nodes.size() == 1);
  CHECK(seen.size() == pass_names().size());
  seen.clear();
  options.fuse = false;
  graph = run_passes(plain, options);
  REQUIRE(graph.ok());
  CHECK(graph->nodes.size() == 3);
  CHECK(seen.size() < pass_names().size());
}
