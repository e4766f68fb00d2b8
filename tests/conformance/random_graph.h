// Random graphs with values of every rate, views, carried values, states and fused ops: what plans
// and passes must keep the meaning of.
#pragma once

#include <cstdint>
#include <random>

#include "graph/evaluate.h"
#include "graph/graph.h"

namespace zoetrope::conformance {

// Bound, f32. Inputs "x", "cache" and "older" (states) at kStep, "time" at kTimestep, "text" at
// kClip, "lengths" (i32) at kClip; weights for which fill_weights() has values.
Graph random_graph(uint64_t seed, int nodes);

// Values for every weight of the graph in one dtype, scaled so that activations stay of order 1.
void fill_weights(const Graph& graph, uint64_t seed, DType storage, MemoryWeights* weights);

// Fresh values for one input.
EvalTensor draw_input(const Graph& graph, ValueId id, std::mt19937_64* random);

}  // namespace zoetrope::conformance
