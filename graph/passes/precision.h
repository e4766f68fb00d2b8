// Chooses the dtypes of weights and activations.
#pragma once

#include <functional>
#include <set>
#include <string>

#include "graph/graph.h"

namespace zoetrope {

// The stored dtype of a weight by name.
using StorageDType = std::function<Result<DType>(std::string_view name)>;

// Gives every weight its stored dtype, and activations `compute` (f32, bf16 or f16). Contractions,
// norms and gathers read weights as they are stored (those in fewer bits become `compute`, and
// products of 8-bit numbers give it); elsewhere a cast, run once at load, makes
// dtypes agree. Islands stay f32 (design: numbers): whatever only depends on the shape or the
// timestep, rotary tables, and inputs and outputs of the graph; but f32 states of `narrow` get
// `compute`.
Result<Graph> choose_precision(const Graph& graph, DType compute, const StorageDType& storage,
                               const std::set<std::string>& narrow = {});

// States that every reader takes in the compute type: storing them in it changes no bit. Of graphs
// that share states, those of the one that reads them.
std::set<std::string> narrowable_states(const Graph& graph);

}  // namespace zoetrope
