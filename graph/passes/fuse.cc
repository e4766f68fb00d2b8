#include "graph/passes/fuse.h"

#include "graph/passes/rewrite.h"

namespace zoetrope {
namespace {

using Match = std::optional<Replacement>;

constexpr OpKind kActivations[] = {OpKind::kSilu, OpKind::kGeluTanh, OpKind::kGelu, OpKind::kRelu};

bool is_activation(OpKind op) {
  for (OpKind a : kActivations)
    if (op == a) return true;
  return false;
}

std::string activation_name(OpKind op) { return std::string(op_def(op).name); }

// A contraction with its optional bias, found upwards from `id`.
struct Biased {
  const Node* contraction = nullptr;
  const Node* add = nullptr;
  ValueId bias = kNone;
};

bool is_vector_of(const GraphView& view, ValueId id, int64_t size) {
  const Shape& shape = view.type(id).shape;
  return shape.rank() == 1 && shape[0] == size && is_float(view.type(id).dtype);
}

// `node` is an add of a contraction and a vector over its last axis.
std::optional<Biased> match_bias(const GraphView& view, const Node& node) {
  if (node.op != OpKind::kAdd) return std::nullopt;
  for (int side : {0, 1}) {
    const ValueId y = node.inputs[static_cast<size_t>(side)];
    const ValueId bias = node.inputs[static_cast<size_t>(1 - side)];
    const Node* contraction = view.absorbable(y, OpKind::kMatmul);
    if (contraction == nullptr) contraction = view.absorbable(y, OpKind::kConv);
    const Shape& shape = view.type(y).shape;
    if (contraction == nullptr || shape.rank() == 0 || !is_vector_of(view, bias, shape[-1]))
      continue;
    return Biased{contraction, &node, view.stored_weight(bias)};
  }
  return std::nullopt;
}

Match fused_contraction(const GraphView& view, const Biased& found, const std::string& activation,
                        std::vector<const Node*> absorbed) {
  const Node& node = *found.contraction;
  const bool linear = node.op == OpKind::kMatmul;
  if (linear && view.type(node.inputs[1]).shape.rank() != 2) return std::nullopt;
  Replacement r{linear ? OpKind::kLinear : OpKind::kConvBias,
                {node.inputs[0], node.inputs[1], found.bias},
                node.attrs,
                std::move(absorbed)};
  r.attrs.set("activation", activation);
  if (!linear) {
    // A replicate pad of spatial dimensions in front, where the convolution itself pads nothing.
    const Node* pad = view.absorbable(node.inputs[0], OpKind::kPad);
    const int spatial = view.type(node.inputs[0]).shape.rank() - 2;
    if (pad != nullptr && pad->attrs.get_string("mode") == "replicate") {
      const std::vector<int64_t> lo = pad->attrs.get_ints("lo"), hi = pad->attrs.get_ints("hi");
      const auto list = [&](const char* name) {
        std::vector<int64_t> values = node.attrs.get_ints(name);
        if (values.empty()) values.assign(static_cast<size_t>(spatial), 0);
        return values;
      };
      const std::vector<int64_t> own_lo = list("pad_lo"), own_hi = list("pad_hi");
      std::vector<Dim> pad_lo, pad_hi, replicate;
      bool fits = lo.front() == 0 && hi.front() == 0 && lo.back() == 0 && hi.back() == 0;
      for (int d = 0; d < spatial; ++d) {
        const auto s = static_cast<size_t>(d);
        const bool padded = lo[s + 1] != 0 || hi[s + 1] != 0;
        if (padded && (own_lo[s] != 0 || own_hi[s] != 0 || lo[s + 1] < 0 || hi[s + 1] < 0))
          fits = false;
        pad_lo.emplace_back(padded ? lo[s + 1] : own_lo[s]);
        pad_hi.emplace_back(padded ? hi[s + 1] : own_hi[s]);
        replicate.emplace_back(padded ? 1 : 0);
      }
      if (fits) {
        r.inputs[0] = pad->inputs[0];
        r.attrs.set("pad_lo", pad_lo);
        r.attrs.set("pad_hi", pad_hi);
        r.attrs.set("replicate", replicate);
        r.absorbed.push_back(pad);
      }
    }
  }
  return r;
}

// A product of 8-bit numbers takes its bias in before it rounds.
Match match_quantized_bias(const GraphView& view, const Node& root) {
  if (root.op != OpKind::kAdd) return std::nullopt;
  for (size_t side : {0, 1}) {
    const Node* product = view.absorbable(root.inputs[side], OpKind::kQuantizedMatmul);
    const ValueId bias = root.inputs[1 - side];
    if (product == nullptr || product->inputs.size() > 4) continue;
    if (!is_vector_of(view, bias, view.type(root.inputs[side]).shape[-1])) continue;
    Replacement r{OpKind::kQuantizedMatmul, product->inputs, product->attrs, {product}};
    r.inputs.push_back(view.stored_weight(bias));
    return r;
  }
  return std::nullopt;
}

Match match_contraction(const GraphView& view, const Node& root) {
  if (is_activation(root.op)) {
    const ValueId x = root.inputs[0];
    if (const Node* add = view.absorbable(x, OpKind::kAdd))
      if (auto biased = match_bias(view, *add))
        return fused_contraction(view, *biased, activation_name(root.op),
                                 {add, biased->contraction});
    for (OpKind op : {OpKind::kMatmul, OpKind::kConv})
      if (const Node* contraction = view.absorbable(x, op))
        return fused_contraction(view, {contraction, nullptr, kNone}, activation_name(root.op),
                                 {contraction});
    return std::nullopt;
  }
  if (auto biased = match_bias(view, root))
    return fused_contraction(view, *biased, "none", {biased->contraction});
  return match_quantized_bias(view, root);
}

Match match_norm_rope(const GraphView& view, const Node& root) {
  if (root.op != OpKind::kRope) return std::nullopt;
  const auto replacement = [&](const Node& norm, ValueId x, bool full_width) {
    Replacement r{OpKind::kNormRope, {x, root.inputs[1], root.inputs[2]}, {}, {&norm}};
    r.inputs.push_back(norm.inputs.size() > 1 ? norm.inputs[1] : kNone);
    r.attrs.set("epsilon", norm.attrs.get_float("epsilon"));
    r.attrs.set("mode", root.attrs.get_string("mode"));
    r.attrs.set("full_width", full_width);
    return r;
  };
  if (const Node* norm = view.absorbable(root.inputs[0], OpKind::kRmsNorm))
    return replacement(*norm, norm->inputs[0], false);
  // Over the full width, before the split into heads: the split moves in front.
  const Node* split = view.absorbable(root.inputs[0], OpKind::kReshape);
  const Node* norm = split ? view.absorbable(split->inputs[0], OpKind::kRmsNorm) : nullptr;
  if (norm == nullptr) return std::nullopt;
  const Shape &rows = view.type(split->inputs[0]).shape, &heads = view.type(root.inputs[0]).shape;
  if (rows.rank() != 3 || rows[0] != heads[0] || rows[1] != heads[1]) return std::nullopt;
  Replacement r = replacement(*norm, norm->inputs[0], true);
  r.absorbed.push_back(split);
  r.view_first = heads;
  return r;
}

struct Modulated {
  ValueId scale;
  const Node* norm;
  std::vector<const Node*> absorbed;
};

// norm(x) · (1 + scale), either way round, with a cast of the factor between.
std::optional<Modulated> match_scaled_norm(const GraphView& view, const Node& mul) {
  for (int side : {0, 1}) {
    const ValueId normed = mul.inputs[static_cast<size_t>(side)];
    ValueId factor = mul.inputs[static_cast<size_t>(1 - side)];
    const Node* norm = view.absorbable(normed, OpKind::kRmsNorm);
    if (norm == nullptr) norm = view.absorbable(normed, OpKind::kLayerNorm);
    if (norm == nullptr) continue;
    if (const Node* cast = view.made_by(factor, OpKind::kCast)) factor = cast->inputs[0];
    const Node* add = view.made_by(factor, OpKind::kAdd);
    if (add == nullptr) continue;
    for (int one : {0, 1}) {
      if (!view.is_constant(add->inputs[static_cast<size_t>(one)], 1.0)) continue;
      const ValueId scale = add->inputs[static_cast<size_t>(1 - one)];
      if (!(view.type(scale).shape == view.type(factor).shape)) continue;
      return Modulated{scale, norm, {norm, &mul}};
    }
  }
  return std::nullopt;
}

bool broadcasts_to(const Shape& from, const Shape& to) {
  auto shape = broadcast_shapes(from, to);
  return shape.ok() && *shape == to;
}

Match match_norm_modulate(const GraphView& view, const Node& root) {
  if (root.op != OpKind::kAdd) return std::nullopt;
  for (int side : {0, 1}) {
    const Node* mul = view.absorbable(root.inputs[static_cast<size_t>(side)], OpKind::kMul);
    if (mul == nullptr) continue;
    auto found = match_scaled_norm(view, *mul);
    if (!found) continue;
    ValueId shift = root.inputs[static_cast<size_t>(1 - side)];
    if (const Node* cast = view.made_by(shift, OpKind::kCast))
      if (is_float(view.type(cast->inputs[0]).dtype)) shift = cast->inputs[0];
    const Node& norm = *found->norm;
    const Shape& x = view.type(norm.inputs[0]).shape;
    if (!broadcasts_to(view.type(found->scale).shape, x) ||
        !broadcasts_to(view.type(shift).shape, x))
      continue;
    Replacement r{
        OpKind::kNormModulate, {norm.inputs[0], found->scale, shift}, {}, found->absorbed};
    r.inputs.push_back(norm.inputs.size() > 1 ? norm.inputs[1] : kNone);
    r.inputs.push_back(norm.inputs.size() > 2 ? norm.inputs[2] : kNone);
    r.attrs.set("norm", std::string(norm.op == OpKind::kRmsNorm ? "rms" : "layer"));
    r.attrs.set("epsilon", norm.attrs.get_float("epsilon"));
    return r;
  }
  return std::nullopt;
}

Match match_glu(const GraphView& view, const Node& root) {
  if (root.op != OpKind::kMul) return std::nullopt;
  for (int side : {0, 1}) {
    const ValueId a = root.inputs[static_cast<size_t>(side)],
                  b = root.inputs[static_cast<size_t>(1 - side)];
    const Node* activation = absorbable_activation(view, a);
    if (activation == nullptr || a == b || !(view.type(a) == view.type(b))) continue;
    Replacement r{OpKind::kGlu, {activation->inputs[0], b}, {}, {activation}};
    r.attrs.set("activation", activation_name(activation->op));
    return r;
  }
  return std::nullopt;
}

Match match_gated_residual(const GraphView& view, const Node& root) {
  if (root.op != OpKind::kAdd || !is_float(view.type(root.outputs[0]).dtype)) return std::nullopt;
  const TensorType& type = view.type(root.outputs[0]);
  for (int side : {0, 1}) {
    const ValueId x = root.inputs[static_cast<size_t>(1 - side)];
    const Node* mul = view.absorbable(root.inputs[static_cast<size_t>(side)], OpKind::kMul);
    if (mul == nullptr || !(view.type(x) == type)) continue;
    for (int which : {0, 1}) {
      const ValueId y = mul->inputs[static_cast<size_t>(which)];
      ValueId gate = mul->inputs[static_cast<size_t>(1 - which)];
      if (!(view.type(y) == type) || view.type(gate) == type) continue;
      if (const Node* cast = view.made_by(gate, OpKind::kCast))
        if (is_float(view.type(cast->inputs[0]).dtype)) gate = cast->inputs[0];
      return Replacement{OpKind::kGatedResidual, {x, y, gate}, {}, {mul}};
    }
  }
  return std::nullopt;
}

// A norm with or without modulation, as residual_norm sees it.
struct BranchNorm {
  std::string norm;
  ValueId scale = kNone, shift = kNone, weight = kNone, bias = kNone;
};

std::optional<BranchNorm> match_branch_norm(const Node& node) {
  const auto input = [&](size_t i) { return i < node.inputs.size() ? node.inputs[i] : kNone; };
  switch (node.op) {
    case OpKind::kRmsNorm: return BranchNorm{"rms", kNone, kNone, input(1), kNone};
    case OpKind::kLayerNorm: return BranchNorm{"layer", kNone, kNone, input(1), input(2)};
    case OpKind::kNormModulate:
      return BranchNorm{node.attrs.get_string("norm"), input(1), input(2), input(3), input(4)};
    default: return std::nullopt;
  }
}

Match match_residual_norm(const GraphView& view, const Node& root) {
  const auto norm = match_branch_norm(root);
  if (!norm) return std::nullopt;
  const ValueId sum = root.inputs[0];
  const Node* residual = view.made_by(sum, OpKind::kGatedResidual);
  if (residual == nullptr) residual = view.made_by(sum, OpKind::kAdd);
  // The sum moves to the norm's place, and must not come to be computed more often.
  if (residual == nullptr || !view.is_first_reader(root, sum) ||
      view.graph().value(sum).rate != view.graph().value(root.outputs[0]).rate)
    return std::nullopt;
  for (int i : {0, 1})
    if (!(view.type(residual->inputs[static_cast<size_t>(i)]) == view.type(sum)))
      return std::nullopt;
  const ValueId gate = residual->op == OpKind::kGatedResidual ? residual->inputs[2] : kNone;
  Replacement r{OpKind::kResidualNorm,
                {residual->inputs[0], residual->inputs[1], gate, norm->scale, norm->shift,
                 norm->weight, norm->bias},
                {},
                {residual}};
  r.attrs.set("norm", norm->norm);
  r.attrs.set("epsilon", root.attrs.get_float("epsilon"));
  r.outputs = {sum, root.outputs[0]};
  return r;
}

// Columns of rows [B, N, W] that one operand of an attention is.
struct Columns {
  ValueId rows = kNone;
  int64_t offset = 0;
  bool sliced = false;  // by a slice that nothing else reads: it goes
};

std::optional<Columns> match_columns(const GraphView& view, ValueId operand) {
  const Node* reshape = view.made_by(operand, OpKind::kReshape);
  if (reshape == nullptr) return std::nullopt;
  const Shape &to = view.type(operand).shape, &from = view.type(reshape->inputs[0]).shape;
  if (from.rank() != 3 || from[0] != to[0] || from[1] != to[1]) return std::nullopt;
  const Node* slice = view.made_by(reshape->inputs[0], OpKind::kSlice);
  if (slice == nullptr) return Columns{reshape->inputs[0]};
  const auto axis = normalize_axis(slice->attrs.get_int("axis"), 3);
  if (!axis.ok() || *axis != 2 || slice->attrs.get_int("step") != 1)
    return Columns{reshape->inputs[0]};
  const int64_t width = view.type(slice->inputs[0]).shape[2], start = slice->attrs.get_int("start");
  const bool goes = view.absorbable(operand, OpKind::kReshape) == reshape &&
                    view.absorbable(reshape->inputs[0], OpKind::kSlice) == slice;
  return Columns{slice->inputs[0], start < 0 ? start + width : start, goes};
}

Match match_packed_attention(const GraphView& view, const Node& root) {
  if (root.op != OpKind::kAttention) return std::nullopt;
  Replacement r{OpKind::kPackedAttention, root.inputs, {}, {}};
  constexpr std::string_view kOffsets[] = {"q_offset", "k_offset", "v_offset"};
  bool sliced = false;
  for (size_t i = 0; i < 3; ++i) {
    const auto columns = match_columns(view, root.inputs[i]);
    if (!columns) return std::nullopt;
    r.inputs[i] = columns->rows;
    r.attrs.set(kOffsets[i], Dim(columns->offset));
    sliced |= columns->sliced;
  }
  if (!sliced) return std::nullopt;
  const Shape &q = view.type(root.inputs[0]).shape, &v = view.type(root.inputs[2]).shape;
  r.attrs.set("heads", Dim(q[2]));
  r.attrs.set("kv_heads", Dim(v[2]));
  r.attrs.set("dim", Dim(q[3]));
  r.attrs.set("v_dim", Dim(v[3]));
  r.attrs.set("scale", root.attrs.get_float("scale"));
  r.attrs.set("causal", root.attrs.get_bool("causal"));
  r.attrs.set("bits", Dim(root.attrs.get_int("bits")));
  return r;
}

}  // namespace

const Node* absorbable_activation(const GraphView& view, ValueId id) {
  for (OpKind a : kActivations)
    if (const Node* node = view.absorbable(id, a)) return node;
  return nullptr;
}

Result<Graph> fuse_contractions(const Graph& graph) { return rewrite(graph, match_contraction); }
Result<Graph> fuse_norm_rope(const Graph& graph) { return rewrite(graph, match_norm_rope); }
Result<Graph> fuse_norm_modulate(const Graph& graph) { return rewrite(graph, match_norm_modulate); }
Result<Graph> fuse_glu(const Graph& graph) { return rewrite(graph, match_glu); }
Result<Graph> fuse_gated_residual(const Graph& graph) {
  return rewrite(graph, match_gated_residual);
}
Result<Graph> fuse_residual_norm(const Graph& graph) { return rewrite(graph, match_residual_norm); }
Result<Graph> fuse_packed_attention(const Graph& graph) {
  return rewrite(graph, match_packed_attention);
}

}  // namespace zoetrope
