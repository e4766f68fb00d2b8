// Shared by the tests of passes: both graphs are run by the ops' definitions, in double.
#pragma once

#include <doctest/doctest.h>

#include <cmath>
#include <random>

#include "graph/builder.h"
#include "graph/evaluate.h"

namespace zoetrope::passes_test {

inline int count(const Graph& graph, OpKind op) {
  int n = 0;
  for (const Node& node : graph.nodes) n += node.op == op;
  return n;
}

inline Graph finished(Builder& b, const Bindings& bindings = {}) {
  auto graph = b.finish();
  REQUIRE_MESSAGE(graph.ok(), graph.status().message());
  auto bound = zoetrope::bind(*graph, bindings);
  REQUIRE_MESSAGE(bound.ok(), bound.status().message());
  return std::move(*bound);
}

inline EvalTensor random_tensor(const Shape& shape, std::mt19937& random) {
  std::normal_distribution<double> normal;
  EvalTensor t{shape, {}};
  for (int64_t i = 0; i < shape.elements(); ++i) t.data.push_back(normal(random));
  return t;
}

inline void check_close(const EvalTensors& expected, const EvalTensors& got, double tolerance) {
  REQUIRE(expected.size() == got.size());
  for (const auto& [name, tensor] : expected) {
    CAPTURE(name);
    const EvalTensor& other = got.at(name);
    REQUIRE(other.shape == tensor.shape);
    for (size_t i = 0; i < tensor.data.size(); ++i)
      REQUIRE(std::fabs(tensor.data[i] - other.data[i]) <=
              tolerance * (1 + std::fabs(tensor.data[i])));
  }
}

// Runs both graphs on the same random inputs and weights and compares every output.
inline void check_same(const Graph& a, const Graph& b, double tolerance = 1e-9,
                       unsigned seed = std::random_device{}()) {
  CAPTURE(seed);
  std::mt19937 random(seed);
  EvalTensors inputs;
  MemoryWeights weights;
  for (ValueId id : a.inputs)
    inputs[a.value(id).name] = random_tensor(a.value(id).type.shape, random);
  for (ValueId id : a.weights())
    weights.add(a.value(id).name, a.value(id).type.dtype,
                random_tensor(a.value(id).type.shape, random));
  auto expected = reference_evaluate(a, inputs, weights);
  auto got = reference_evaluate(b, inputs, weights);
  REQUIRE_MESSAGE(expected.ok(), expected.status().message());
  REQUIRE_MESSAGE(got.ok(), got.status().message());
  check_close(*expected, *got, tolerance);
}

using Pass = Result<Graph> (*)(const Graph&);

// The pass's result: verified, with the signature and the values of `graph`.
inline Graph apply(Pass pass, const Graph& graph, double tolerance = 1e-9) {
  auto out = pass(graph);
  REQUIRE_MESSAGE(out.ok(), out.status().message());
  const Status status = verify(*out);
  REQUIRE_MESSAGE(status.ok(), status.message());
  REQUIRE(out->inputs.size() == graph.inputs.size());
  for (size_t i = 0; i < graph.inputs.size(); ++i)
    CHECK(out->value(out->inputs[i]).name == graph.value(graph.inputs[i]).name);
  check_same(graph, *out, tolerance);
  return std::move(*out);
}

}  // namespace zoetrope::passes_test
