// Rows that are quantised as soon as they are made: with their norm, or their activation.
#include "graph/passes/fuse.h"
#include "graph/passes/rewrite.h"

namespace zoetrope {
namespace {

using Match = std::optional<Replacement>;

ValueId input(const Node& node, size_t i) {
  return i < node.inputs.size() ? node.inputs[i] : kNone;
}

Match match_norm(const GraphView& view, const Node& root) {
  const ValueId h = root.inputs[0];
  Replacement r{OpKind::kNormQuantize, {}, {}, {}};
  if (const Node* n = view.absorbable(h, OpKind::kNormModulate)) {
    r.inputs = n->inputs;
    r.attrs.set("norm", n->attrs.get_string("norm"));
    r.absorbed = {n};
  } else if (const Node* rms = view.absorbable(h, OpKind::kRmsNorm)) {
    r.inputs = {rms->inputs[0], kNone, kNone, input(*rms, 1)};
    r.attrs.set("norm", std::string("rms"));
    r.absorbed = {rms};
  } else if (const Node* layer = view.absorbable(h, OpKind::kLayerNorm)) {
    r.inputs = {layer->inputs[0], kNone, kNone, input(*layer, 1), input(*layer, 2)};
    r.attrs.set("norm", std::string("layer"));
    r.absorbed = {layer};
  } else if (const Node* sum = view.absorbable(h, OpKind::kResidualNorm)) {
    // It moves to where its rows are quantised: nothing may read the sum before.
    if (h != sum->outputs[1] || view.is_read_before(root, sum->outputs[0])) return std::nullopt;
    r.op = OpKind::kResidualNormQuantize;
    r.inputs = sum->inputs;
    r.attrs.set("norm", sum->attrs.get_string("norm"));
    r.absorbed = {sum};
    r.outputs = {sum->outputs[0], root.outputs[0], root.outputs[1]};
  } else {
    return std::nullopt;
  }
  r.attrs.set("epsilon", r.absorbed[0]->attrs.get_float("epsilon"));
  return r;
}

Match match_activation(const GraphView& view, const Node& root) {
  const ValueId y = root.inputs[0];
  Replacement r{OpKind::kActivateQuantize, {}, {}, {}};
  if (const Node* glu = view.absorbable(y, OpKind::kGlu)) {
    if (input(*glu, 1) == kNone) return std::nullopt;
    r.inputs = glu->inputs;
    r.attrs.set("activation", glu->attrs.get_string("activation"));
    r.absorbed = {glu};
    return r;
  }
  const Node* activation = absorbable_activation(view, y);
  if (activation == nullptr) return std::nullopt;
  r.inputs = activation->inputs;
  r.attrs.set("activation", std::string(op_def(activation->op).name));
  r.absorbed = {activation};
  return r;
}

Match match_rows(const GraphView& view, const Node& root) {
  // Rows that are turned are quantised by themselves.
  if (root.op != OpKind::kQuantizeRows || root.attrs.get_int("rotation") != 0) return std::nullopt;
  Match r = match_norm(view, root);
  if (!r) r = match_activation(view, root);
  if (r) r->attrs.set("dtype", root.attrs.get_string("dtype"));
  return r;
}

}  // namespace

Result<Graph> fuse_quantized_rows(const Graph& graph) { return rewrite(graph, match_rows); }

}  // namespace zoetrope
