// Copying a graph node by node while changing it: what most passes share.
#pragma once

#include <map>
#include <string_view>
#include <vector>

#include "graph/builder.h"
#include "graph/graph.h"

namespace zoetrope {

// Inputs and weights are copied at once, under their names; nodes are added through the builder,
// each new value is told with set(), and finish() carries the signature (inputs, outputs, states)
// over.
class Rebuild {
 public:
  explicit Rebuild(const Graph& from);
  Rebuild(const Rebuild&) = delete;
  Rebuild& operator=(const Rebuild&) = delete;

  const Graph& from() const { return from_; }
  const Graph& out() const { return out_; }
  Builder& builder() { return builder_; }

  // The new value of an old one; kNone stays kNone.
  ValueId mapped(ValueId old) const {
    return old == kNone ? kNone : map_[static_cast<size_t>(old)];
  }
  std::vector<ValueId> mapped(const std::vector<ValueId>& old) const;
  void set(ValueId old, ValueId now) { map_[static_cast<size_t>(old)] = now; }

  // What the old state becomes, where that is not mapped() of its old `next`.
  void set_next(ValueId old_state, ValueId now) { next_[old_state] = now; }

  // Of an input or weight, before nodes read it.
  void set_dtype(ValueId now, DType dtype) { out_.value(now).type.dtype = dtype; }

  // Copies a node with other inputs; sets its outputs.
  std::vector<ValueId> copy(const Node& node, std::vector<ValueId> inputs);

  // Of the new graph:
  const TensorType& type(ValueId id) const { return out_.value(id).type; }
  Rate rate(ValueId id) const { return out_.value(id).rate; }
  // The node of kind `op` that makes `id`, or null. Valid until the next node is added.
  const Node* made_by(ValueId id, OpKind op) const;

  // Rates are propagated and dead nodes removed.
  Result<Graph> finish();

 private:
  const Graph& from_;
  Graph out_;
  Builder builder_;
  std::vector<ValueId> map_;
  std::map<ValueId, ValueId> next_;  // by old state
};

// Each element of the output depends on the elements of the inputs at the same (broadcast) place.
bool is_pointwise(OpKind op);

}  // namespace zoetrope
