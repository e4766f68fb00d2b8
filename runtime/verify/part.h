// Parts of a node: a smaller node of the same op that gives a box of the whole's output from boxes
// of its inputs. So a layer that is too large for the double-precision definition is judged by it
// all the same, on rows, columns and windows taken from everywhere.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "graph/evaluate.h"
#include "graph/op.h"

namespace zoetrope {

struct Box {
  Shape begin, extent;  // of one rank
};

struct NodePart {
  Attrs attrs;
  std::vector<Box> inputs;  // by input; of absent ones nothing
  Box output;               // of every output
  bool whole = false;
};

// Where parts are taken and how large they may be.
struct PartOptions {
  int64_t count = 8;         // of parts, where the node is not taken whole
  double whole_flops = 2e7;  // a node of no more work is taken whole; so is every one at infinity
  uint64_t seed = 0;         // of the places between the first part and the last
};

// The first part lies at the output's beginning, the second at its end (where odd sizes show), the
// others anywhere. Empty: nothing of the node can be computed within `whole_flops`.
std::vector<NodePart> parts_of(const OpDef& def, const OpContext& context,
                               std::span<const TensorType> outputs, const PartOptions& options);

// Elements of a row-major tensor, widened to double.
EvalTensor load_box(const TensorType& type, const void* data, const Box& box);

}  // namespace zoetrope
