// Where what becomes of states lies.
#pragma once

#include <vector>

#include "graph/graph.h"

namespace zoetrope {

// The states whose places are taken over by what becomes of them: that is made at every step, when
// nobody reads the state any more, and by no other state's. Of a bound graph.
std::vector<StatePair> states_in_place(const Graph& graph);

// Where what becomes of a state is made too early to take over its place, it is copied behind the
// last reader: one copy, as after the run otherwise, but the state takes its bytes once and not
// twice until the run has ended. Of a bound graph; behind passes that remove slices of a whole.
Result<Graph> settle_states(const Graph& graph);

}  // namespace zoetrope
