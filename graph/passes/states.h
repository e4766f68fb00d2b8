// Where what becomes of states lies.
#pragma once

#include "graph/graph.h"

namespace zoetrope {

// What becomes of a state takes over the state's place if it is made when nobody reads the state
// any more. Where it is made earlier, it is copied behind the last reader: one copy, as after the
// run otherwise, but the state takes its bytes once and not twice until the run has ended. Of a
// bound graph; behind passes that remove slices of a whole.
Result<Graph> settle_states(const Graph& graph);

}  // namespace zoetrope
