#include "graph/graph.h"

#include <doctest/doctest.h>

#include "graph/builder.h"

using namespace zoetrope;

namespace {

// y = silu(x·Wᵀ + b) + t over [batch, tokens, 8]
Graph small_graph() {
  Builder b("small");
  const Dim batch = Dim::symbol("batch"), tokens = Dim::symbol("tokens");
  const ValueId x = b.input("x", DType::kF32, {batch, tokens, 8});
  const ValueId t = b.input("t", DType::kF32, {batch, 1, 8}, Rate::kTimestep);
  const auto scope = b.scope("block");
  const ValueId h = b.silu(b.linear("fc", x, 8, 8));
  const ValueId y = b.add(h, b.silu(t));
  b.output("y", y);
  auto graph = b.finish();
  REQUIRE_MESSAGE(graph.ok(), graph.status().message());
  return *graph;
}

}  // namespace

TEST_CASE("binding gives every value its shape") {
  auto bound = bind(small_graph(), {{"batch", 2}, {"tokens", 5}, {"unused", 1}});
  REQUIRE_MESSAGE(bound.ok(), bound.status().message());
  CHECK(bound->value(bound->outputs[0].value).type.to_string() == "f32[2, 5, 8]");
  CHECK(verify(*bound).ok());
  CHECK(graph_cost(*bound).flops >= 2.0 * 2 * 5 * 8 * 8);
}

TEST_CASE("a missing symbol or a bad dimension names the value") {
  auto missing = bind(small_graph(), {{"batch", 2}});
  REQUIRE_FALSE(missing.ok());
  CHECK(missing.status().message().find("tokens") != std::string::npos);
  CHECK_FALSE(bind(small_graph(), {{"batch", -1}, {"tokens", 5}}).ok());
  CHECK_FALSE(
      bind(small_graph(), {{"batch", int64_t{1} << 40}, {"tokens", int64_t{1} << 40}}).ok());
}

TEST_CASE("rates follow the dataflow") {
  const Graph graph = small_graph();
  CHECK(graph.value(graph.find_value("block.fc")).rate == Rate::kStep);
  CHECK(graph.value(graph.find_value("block.silu_1")).rate == Rate::kTimestep);
  CHECK(graph.value(graph.find_value("block.fc.weight")).rate == Rate::kWeights);
}

TEST_CASE("the verifier finds broken structure and names the node") {
  const Graph good = small_graph();
  Graph bad = good;
  bad.nodes[0].inputs[0] = static_cast<ValueId>(bad.values.size());
  CHECK(verify(bad).message().find("block.fc") != std::string::npos);
  bad = good;
  std::swap(bad.nodes.front(), bad.nodes.back());
  CHECK_FALSE(verify(bad).ok());
  bad = good;
  bad.nodes[0].attrs.set("no_such", true);
  CHECK(verify(bad).message().find("no_such") != std::string::npos);
  bad = good;
  bad.values[0].name = bad.values[1].name;
  CHECK_FALSE(verify(bad).ok());
  bad = good;
  bad.outputs[0].value = -5;
  CHECK_FALSE(verify(bad).ok());
}

TEST_CASE("the text names inputs, weights, nodes and rates") {
  const std::string text = to_text(small_graph());
  for (const char* part : {"input %x : f32[batch, tokens, 8] @step", "weight @block.fc.weight",
                           "= matmul(%x, @block.fc.weight) {transpose_b=true}", "output y ="})
    CHECK_MESSAGE(text.find(part) != std::string::npos, part, " missing in\n", text);
}

TEST_CASE("the builder reports its first error with the node's name") {
  Builder b("broken");
  const ValueId x = b.input("x", DType::kF32, {4});
  b.output("y", b.op(OpKind::kCast, {x}));
  auto graph = b.finish();
  REQUIRE_FALSE(graph.ok());
  CHECK(graph.status().message().find("cast") != std::string::npos);
  CHECK(graph.status().message().find("dtype") != std::string::npos);
}
