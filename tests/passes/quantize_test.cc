// Weights in fewer bits: the graph computes with what the tensors say, and every format's error
// stays below its bound.
#include "graph/passes/quantize.h"

#include <bit>
#include <cstring>
#include <map>
#include <set>

#include "graph/passes/derive_weights.h"
#include "graph/passes/fuse.h"
#include "graph/passes/precision.h"
#include "graph/passes/split.h"
#include "graph/rotation.h"
#include "tests/passes/pass_test.h"

using namespace zoetrope;
using namespace zoetrope::passes_test;

namespace {

// A table, two products that share their rows, one at the rate of the timestep, and a convolution.
Graph small_network() {
  Builder b("net");
  const Dim n = Dim::symbol("n");
  const ValueId x = b.input("x", DType::kF32, {2, n, 64});
  const ValueId t = b.input("t", DType::kF32, {2, 64}, Rate::kTimestep);
  const ValueId shift = b.reshape(b.linear("time", t, 64, 64), {2, 1, 64});
  const ValueId h = b.add(x, shift);
  const ValueId y = b.mul(b.silu(b.linear("gate", h, 64, 48)), b.linear("up", h, 64, 48, false));
  const ValueId c = b.conv(y, b.weight("conv.weight", {8, 3, 48}),
                           {.stride = {}, .dilation = {}, .pad_lo = {1}, .pad_hi = {1}});
  b.output("y", c);
  auto graph = b.finish();
  REQUIRE_MESSAGE(graph.ok(), graph.status().message());
  return std::move(*graph);
}

MemoryWeights random_weights(const Graph& graph, std::mt19937& random) {
  MemoryWeights weights;
  for (ValueId id : graph.weights()) {
    Shape shape;
    for (const Dim& d : graph.value(id).dims) shape.push_back(d.constant());
    weights.add(graph.value(id).name, DType::kF32, random_tensor(shape, random));
  }
  return weights;
}

WeightChoice everywhere(const QuantizeSite& site, WeightFormat format, int64_t group) {
  if (site.shape.rank() < 2) return {};
  const bool rows = format == WeightFormat::kInt8 || format == WeightFormat::kFp8;
  return {rows && !site.product ? WeightFormat::kInt8Weights : format, group};
}

// ‖a − b‖ / ‖a‖
double relative_error(const EvalTensor& a, const EvalTensor& b) {
  double error = 0, norm = 0;
  for (size_t i = 0; i < a.data.size(); ++i) {
    error += (a.data[i] - b.data[i]) * (a.data[i] - b.data[i]);
    norm += a.data[i] * a.data[i];
  }
  return std::sqrt(error / norm);
}

struct Evaluated {
  Graph graph;
  EvalTensors outputs;
};

Evaluated evaluate(const Graph& graph, const WeightSource& weights, const EvalTensors& inputs) {
  auto bound = bind(graph, {{"n", 5}});
  REQUIRE_MESSAGE(bound.ok(), bound.status().message());
  auto out = reference_evaluate(*bound, inputs, weights);
  REQUIRE_MESSAGE(out.ok(), out.status().message());
  return {std::move(*bound), std::move(*out)};
}

}  // namespace

TEST_CASE("a network in every format computes what it did, within the format's error") {
  std::mt19937 random(7);
  const Graph graph = small_network();
  const MemoryWeights weights = random_weights(graph, random);
  const EvalTensors inputs{{"x", random_tensor({2, 5, 64}, random)},
                           {"t", random_tensor({2, 64}, random)}};
  const EvalTensors expected = evaluate(graph, weights, inputs).outputs;
  // Uniform steps of the largest of K normal numbers: σ of an error is step/√12, for i8 (largest
  // ≈ 2.7σ of 64) 0.6%, for int4 about 12%; e4m3 has 3 bits, 2.6%. Three products add up.
  struct Format {
    WeightFormat format;
    int64_t group;
    double least, most;
  };
  for (const Format& f :
       {Format{WeightFormat::kInt8, 0, 0.002, 0.03}, Format{WeightFormat::kFp8, 0, 0.01, 0.1},
        Format{WeightFormat::kInt8Weights, 0, 0.001, 0.02},
        Format{WeightFormat::kInt4, 16, 0.03, 0.2}, Format{WeightFormat::kF16, 0, 1e-5, 2e-3},
        Format{WeightFormat::kBF16, 0, 1e-4, 1e-2}}) {
    CAPTURE(format_name(f.format));
    auto made = quantize(
        graph, [&](const QuantizeSite& site) { return everywhere(site, f.format, f.group); });
    REQUIRE_MESSAGE(made.ok(), made.status().message());
    CHECK(made->weights.size() == 4);
    auto source = QuantizedWeights::create(weights, made->weights);
    REQUIRE(source.ok());
    REQUIRE(made->graph.inputs.size() == graph.inputs.size());
    const Evaluated got = evaluate(made->graph, **source, inputs);
    const double error = relative_error(expected.at("y"), got.outputs.at("y"));
    CHECK(error > f.least);
    CHECK(error < f.most);
  }
}

TEST_CASE("rows that two products share are quantised once") {
  auto made = quantize(small_network(), [](const QuantizeSite& site) {
    return site.product && site.rate == Rate::kStep ? WeightChoice{WeightFormat::kInt8, 0}
                                                    : WeightChoice{};
  });
  REQUIRE(made.ok());
  CHECK(count(made->graph, OpKind::kQuantizeRows) == 1);
  CHECK(count(made->graph, OpKind::kQuantizedMatmul) == 2);
  CHECK(count(made->graph, OpKind::kMatmul) == 1);  // the timestep's
  CHECK(made->graph.find_value("gate.weight") == kNone);
  CHECK(made->graph.find_value("gate.weight.int8") != kNone);
  CHECK(made->graph.find_value("time.weight") != kNone);
}

TEST_CASE("products at a step's ends are known, and which weights multiply the same rows") {
  Builder b("g");
  const ValueId x = b.input("x", DType::kF32, {2, 5, 64});
  const ValueId text = b.input("text", DType::kF32, {2, 7, 64}, Rate::kClip);
  const ValueId h = b.silu(b.linear("in", b.reshape(x, {10, 64}), 64, 64));
  const ValueId k = b.linear("k", text, 64, 64, false), v = b.linear("v", text, 64, 64, false);
  const ValueId seen = b.reshape(b.reduce(OpKind::kReduceMean, b.mul(k, v), {0, 1}), {1, 64});
  const ValueId y = b.add(b.mul(b.linear("gate", h, 64, 64), b.linear("up", h, 64, 64)), seen);
  b.output("y", b.reshape(b.linear("out", y, 64, 64), {2, 5, 64}));
  std::set<std::string> edges;
  std::map<std::string, std::string> rows;
  auto made = quantize(finished(b), [&](const QuantizeSite& site) {
    if (site.edge) edges.emplace(site.weight);
    return site.product ? WeightChoice{WeightFormat::kInt4, 16} : WeightChoice{};
  });
  REQUIRE_MESSAGE(made.ok(), made.status().message());
  CHECK(edges == std::set<std::string>{"in.weight", "out.weight"});
  for (const QuantizedWeight& w : made->weights) rows[w.weight] = w.rows;
  CHECK(rows.size() == 6);
  CHECK(rows["gate.weight"] == rows["up.weight"]);
  CHECK(rows["k.weight"] == rows["v.weight"]);
  const std::set<std::string> different{rows["in.weight"], rows["k.weight"], rows["gate.weight"],
                                        rows["out.weight"]};
  CHECK(different.size() == 4);
  CHECK(!different.contains(""));
}

TEST_CASE("a row is turned by the Hadamard matrix of its block") {
  // Sylvester's: element (i, j) is -1 where i and j share an odd number of bits.
  std::mt19937 random(5);
  const EvalTensor x = random_tensor({16}, random);
  std::vector<float> row(x.data.begin(), x.data.end());
  rotate_row(row.data(), 16);
  for (unsigned j = 0; j < 16; ++j) {
    double sum = 0;
    for (unsigned i = 0; i < 8; ++i)
      sum += (std::popcount(i & j % 8) % 2 == 0 ? 1 : -1) *
             static_cast<double>(static_cast<float>(x.data[j / 8 * 8 + i]));
    CHECK(row[j] == doctest::Approx(sum).epsilon(1e-5));
  }
}

TEST_CASE("products of turned rows are those of the rows, and lose less where columns stand out") {
  Builder b("g");
  const ValueId x = b.input("x", DType::kF32, {9, 64});
  b.output("y", b.linear("w", x, 64, 24, false));
  const Graph graph = finished(b);
  std::mt19937 random(17);
  MemoryWeights weights;
  weights.add("w.weight", DType::kF32, random_tensor({24, 64}, random));
  EvalTensor rows = random_tensor({9, 64}, random);
  for (size_t r = 0; r < 9; ++r)
    for (size_t c : {3u, 40u}) rows.data[r * 64 + c] *= 30;
  const EvalTensors inputs{{"x", rows}};
  const Evaluated expected = evaluate(graph, weights, inputs);
  const auto error_of = [&](bool rotate) {
    auto made = quantize(graph, [&](const QuantizeSite&) {
      return WeightChoice{WeightFormat::kInt8, 0, rotate};
    });
    REQUIRE_MESSAGE(made.ok(), made.status().message());
    REQUIRE(made->weights.size() == 1);
    CHECK(made->weights[0].values == (rotate ? "w.weight.int8_turned" : "w.weight.int8"));
    auto source = QuantizedWeights::create(weights, made->weights);
    REQUIRE(source.ok());
    const Evaluated got = evaluate(made->graph, **source, inputs);
    return relative_error(expected.outputs.at("y"), got.outputs.at("y"));
  };
  const double plain = error_of(false), turned = error_of(true);
  CHECK(turned < 0.7 * plain);
  CHECK(turned > 0);
}

TEST_CASE("what a weight cannot be is refused with its name") {
  const auto refused = [](WeightChoice choice, const char* name, const char* why) {
    auto made = quantize(small_network(), [&](const QuantizeSite& site) {
      return site.weight == name ? choice : WeightChoice{};
    });
    REQUIRE(!made.ok());
    CHECK(made.status().message().find(name) != std::string::npos);
    CHECK(made.status().message().find(why) != std::string::npos);
  };
  refused({WeightFormat::kInt8, 0}, "conv.weight", "int8 cannot store it");
  refused({WeightFormat::kInt4, 3}, "conv.weight", "even");
  refused({WeightFormat::kInt4, 32}, "gate.bias", "no rows");
  refused({WeightFormat::kInt4, 32, true}, "conv.weight", "to turn");
}

TEST_CASE("a value that no format holds is an error") {
  const Graph graph = small_network();
  std::mt19937 random(3);
  MemoryWeights weights = random_weights(graph, random);
  EvalTensor bad = random_tensor({48, 64}, random);
  bad.data[100] = INFINITY;
  weights.add("up.weight", DType::kF32, bad);
  EvalTensor large = random_tensor({48, 64}, random);
  large.data[5] = 1e6;
  weights.add("gate.weight", DType::kF32, large);
  for (const auto& [name, format] :
       {std::pair{"up.weight", WeightFormat::kInt8}, std::pair{"up.weight", WeightFormat::kInt4},
        std::pair{"gate.weight", WeightFormat::kF16}}) {
    auto made = quantize(graph, [&, n = name, f = format](const QuantizeSite& site) {
      return site.weight == n ? WeightChoice{f, 32} : WeightChoice{};
    });
    REQUIRE(made.ok());
    auto source = QuantizedWeights::create(weights, made->weights);
    REQUIRE(source.ok());
    auto loaded = (*source)->load(made->weights[0].values);
    REQUIRE(!loaded.ok());
    CHECK(loaded.status().code() == Code::kDataLoss);
    CHECK(loaded.status().message().find(name) != std::string::npos);
  }
}

TEST_CASE("int4: known groups") {
  // Multiples of a factor from -8 to 7 come back as they are, whichever sign is at the end.
  for (const float sign : {1.0f, -1.0f}) {
    std::vector<float> x;
    for (int i = -8; i < 8; ++i) x.push_back(sign * 0.25f * static_cast<float>(i));
    uint8_t values[8];
    uint16_t scale;
    encode_rows(WeightFormat::kInt4, 16, x.data(), 1, 16, values,
                reinterpret_cast<uint8_t*>(&scale));
    CHECK(std::fabs(f16_to_f32(scale)) == 0.25f);
    const auto shape = ops::dequantize_shape(
        {{"dims", std::vector<Dim>{1, 16}}, {"bits", Dim(4)}, {"group", Dim(16)}});
    REQUIRE(shape.ok());
    std::vector<float> y(16);
    decode_row(*shape, {DType::kU8, DType::kF16, DType::kF32, values, &scale, nullptr}, 0,
               y.data());
    CHECK(x == y);
  }
  // Odd rows, short groups, zeros.
  const std::vector<float> x{0, 0, 0, 0, 7, -1, 3};
  uint8_t values[4], scale[4];
  encode_rows(WeightFormat::kInt4, 4, x.data(), 1, 7, values, scale);
  CHECK(values[0] == 0x88);
  CHECK(scale[0] + scale[1] == 0);
  CHECK((values[3] >> 4) == 0);
}

TEST_CASE("int4 refuses what its factors cannot hold") {
  const float most = 8 * 65504.0f;
  const auto load = [](float extreme) {
    MemoryWeights weights;
    std::mt19937 random(3);
    EvalTensor values = random_tensor({2, 8}, random);
    values.data[11] = extreme;
    weights.add("w", DType::kF32, std::move(values));
    auto source = QuantizedWeights::create(
        weights, {{"w", {WeightFormat::kInt4, 4}, {2, 8}, "w.int4", "w.int4.scale"}});
    REQUIRE(source.ok());
    const auto values_of = (*source)->load("w.int4");
    return values_of.status();
  };
  for (const float fits : {most, -most, 1e-30f}) CHECK(load(fits).ok());
  for (const float large : {1.01f * most, -1.01f * most, 1e30f, -3e38f}) {
    const Status refused = load(large);
    CHECK(refused.code() == Code::kDataLoss);
    CHECK(refused.message().find("weight 'w': holds a value too large") != std::string::npos);
  }
}

TEST_CASE("derived weights are what the definition says") {
  std::mt19937 random(11);
  const Graph graph = small_network();
  const MemoryWeights weights = random_weights(graph, random);
  for (const WeightFormat format : {WeightFormat::kInt4, WeightFormat::kInt8Weights}) {
    auto made =
        quantize(graph, [&](const QuantizeSite& site) { return everywhere(site, format, 32); });
    REQUIRE(made.ok());
    auto source = QuantizedWeights::create(weights, made->weights);
    REQUIRE(source.ok());
    auto bound = bind(made->graph, {{"n", 5}});
    REQUIRE(bound.ok());
    auto derived = derive_weights(*bound);
    REQUIRE_MESSAGE(derived.ok(), derived.status().message());
    CHECK(count(derived->graph, OpKind::kDequantize) == 0);
    CHECK(derived->weights.size() == 4);
    CHECK(verify(derived->graph).ok());
    for (const DerivedWeight& w : derived->weights) {
      auto loaded = load_derived(**source, w);
      REQUIRE_MESSAGE(loaded.ok(), loaded.status().message());
      CHECK(loaded->type == w.type);
      // The node's own definition, on the stored bytes.
      EvaluateOptions options;
      options.round_to_dtype = true;
      std::string node;
      for (const Node& n : bound->nodes)
        if (n.op == OpKind::kDequantize && bound->value(n.inputs[0]).name == w.values)
          node = bound->value(n.outputs[0]).name;
      options.watch = {node};
      auto values = reference_evaluate(
          *bound, {{"x", random_tensor({2, 5, 64}, random)}, {"t", random_tensor({2, 64}, random)}},
          **source, options);
      REQUIRE(values.ok());
      const EvalTensor& expected = values->at(node);
      for (int64_t i = 0; i < w.type.shape.elements(); ++i)
        REQUIRE(load_element(w.type.dtype, loaded->data, i) ==
                expected.data[static_cast<size_t>(i)]);
    }
  }
}

TEST_CASE("weights stay encoded where computing nodes alone read them, once for each reader") {
  Builder b("net");
  const ValueId x = b.input("x", DType::kF32, {3, 8});
  const auto stored = [&](const char* name) {
    return b.op(OpKind::kDequantize,
                {b.weight(str(name, ".q"), {8, 4}, DType::kU8), b.weight(str(name, ".s"), {8, 2})},
                {{"dims", std::vector<Dim>{8, 8}}, {"bits", Dim(4)}, {"group", Dim(4)}}, name);
  };
  const ValueId twice = stored("twice"), viewed = stored("viewed"), given = stored("given");
  const ValueId once = b.matmul(b.matmul(x, twice, true), stored("kept_apart"), true);
  b.output("y", b.matmul(b.matmul(once, twice, true), b.reshape(viewed, {8, 8})));
  b.output("given", given);
  auto built = b.finish();
  REQUIRE_MESSAGE(built.ok(), built.status().message());
  auto bound = bind(*built, {});
  REQUIRE(bound.ok());
  const auto derived =
      derive_weights(*bound, [](const DerivedWeight& w) { return w.values != "kept_apart.q"; });
  REQUIRE(derived.ok());
  std::set<std::string> made;
  for (const DerivedWeight& w : derived->weights) made.insert(w.values);
  CHECK(made == std::set<std::string>{"viewed.q", "given.q", "kept_apart.q"});
  const auto expanded = expand_at_readers(derived->graph);
  REQUIRE_MESSAGE(expanded.ok(), expanded.status().message());
  CHECK(verify(*expanded).ok());
  int expansions = 0;
  for (size_t n = 0; n < expanded->nodes.size(); ++n) {
    const Node& node = expanded->nodes[n];
    if (node.op != OpKind::kDequantize) continue;
    ++expansions;
    CHECK(expands_weights(*expanded, node));
    CHECK(is_constant(*expanded, node.outputs[0]));
    CHECK(expanded->value(node.outputs[0]).rate == Rate::kStep);
    REQUIRE(n + 1 < expanded->nodes.size());
    CHECK(expanded->nodes[n + 1].inputs[1] == node.outputs[0]);
  }
  CHECK(expansions == 2);
}

TEST_CASE("precision: products give the compute type, weights of few bits become it") {
  auto made = quantize(small_network(), [](const QuantizeSite& site) {
    return everywhere(site, site.rate == Rate::kStep ? WeightFormat::kInt8 : WeightFormat::kInt4,
                      32);
  });
  REQUIRE(made.ok());
  auto bound = bind(made->graph, {{"n", 5}});
  REQUIRE(bound.ok());
  auto narrow = choose_precision(*bound, DType::kBF16, [&](std::string_view name) {
    return Result<DType>(bound->value(bound->find_value(name)).type.dtype);
  });
  REQUIRE_MESSAGE(narrow.ok(), narrow.status().message());
  CHECK(verify(*narrow).ok());
  for (const Node& node : narrow->nodes) {
    const DType out = narrow->value(node.outputs[0]).type.dtype;
    if (node.op == OpKind::kQuantizedMatmul || node.op == OpKind::kDequantize)
      CHECK(out == DType::kBF16);
    if (node.op == OpKind::kQuantizeRows)
      CHECK(narrow->value(node.inputs[0]).type.dtype == DType::kBF16);
    for (ValueId id : node.inputs) {
      const NodeId maker = id == kNone ? kNone : narrow->value(id).producer;
      if (maker != kNone && narrow->nodes[static_cast<size_t>(maker)].op == OpKind::kDequantize)
        CHECK(node.op != OpKind::kCast);
    }
  }
}

TEST_CASE("a product of 8-bit numbers takes its bias, and its slow rows apart") {
  Builder b("net");
  const ValueId text = b.input("text", DType::kF32, {1, 40, 64}, Rate::kClip);
  const ValueId x = b.input("x", DType::kF32, {1, 8, 64});
  b.output("y", b.linear("fc", b.concat({text, x}, 1), 64, 32));
  auto graph = b.finish();
  REQUIRE(graph.ok());
  auto made = quantize(*graph, [](const QuantizeSite& site) {
    return site.product ? WeightChoice{WeightFormat::kInt8, 0} : WeightChoice{};
  });
  REQUIRE(made.ok());
  auto bound = bind(made->graph, {});
  REQUIRE(bound.ok());
  std::mt19937 random(5);
  const MemoryWeights weights = random_weights(*graph, random);
  auto source = QuantizedWeights::create(weights, made->weights);
  REQUIRE(source.ok());
  const EvalTensors inputs{{"text", random_tensor({1, 40, 64}, random)},
                           {"x", random_tensor({1, 8, 64}, random)}};
  const auto run = [&](const Graph& g) {
    auto out = reference_evaluate(g, inputs, **source);
    REQUIRE_MESSAGE(out.ok(), out.status().message());
    return std::move(*out);
  };
  const EvalTensors expected = run(*bound);
  auto split = split_by_rate(*bound);
  REQUIRE_MESSAGE(split.ok(), split.status().message());
  CHECK(count(*split, OpKind::kQuantizedMatmul) == 2);
  CHECK(count(*split, OpKind::kQuantizeRows) == 2);
  CHECK(rate_report(*split).share(Rate::kClip) > 0.8);
  check_close(expected, run(*split), 1e-12);
  auto fused = fuse_contractions(*bound);
  REQUIRE_MESSAGE(fused.ok(), fused.status().message());
  CHECK(count(*fused, OpKind::kAdd) == 0);
  check_close(expected, run(*fused), 1e-12);
}
