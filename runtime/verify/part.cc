#include "runtime/verify/part.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "graph/elements.h"
#include "graph/ops/conv_shape.h"
#include "graph/philox.h"

namespace zoetrope {
namespace {

using ops::idx;

// Extents of a part along the dimensions of what is sampled.
constexpr int64_t kRows = 4, kColumns = 64, kWindow = 3, kTableColumns = 16;

Box whole_box(const Shape& shape) {
  Shape zero = shape;
  for (int d = 0; d < zero.rank(); ++d) zero[d] = 0;
  return {zero, shape};
}

// The part of `shape`, which broadcasts to the output, that the box of the output reads.
Box broadcast_box(const Box& out, const Shape& shape) {
  Box box = whole_box(shape);
  for (int d = 1; d <= shape.rank(); ++d) {
    if (shape[-d] == 1 || d > out.begin.rank()) continue;
    box.begin[-d] = out.begin[-d];
    box.extent[-d] = out.extent[-d];
  }
  return box;
}

Box last_part(Box box, int64_t begin, int64_t extent) {
  box.begin[-1] = begin;
  box.extent[-1] = extent;
  return box;
}

// How the op is cut; the extents that a part has along the output's dimensions.
class Cutter {
 public:
  Cutter(const OpDef& def, const OpContext& c, const Shape& y) : def_(def), c_(c), y_(y) {}

  // 0: whole along that dimension. Nothing where the op cannot be cut.
  std::optional<Shape> extents() const {
    const int rank = y_.rank();
    Shape e = y_;
    for (int d = 0; d < rank; ++d) e[d] = 1;
    if (rank == 0) return std::nullopt;
    switch (def_.kind) {
      case OpKind::kMatmul:
      case OpKind::kLinear:
        e[-2] = kRows;
        e[-1] = kColumns;
        return e;
      case OpKind::kQuantizedMatmul:
        if (rank > 1) e[-2] = kRows;
        e[-1] = kColumns;
        return e;
      case OpKind::kAttention:
        if (sees_nothing_first()) return std::nullopt;
        e[1] = kRows;
        e[3] = 0;
        return e;
      case OpKind::kPackedAttention:
        if (sees_nothing_first()) return std::nullopt;
        e[1] = kRows;
        e[2] = e[3] = 0;
        return e;
      case OpKind::kConv:
      case OpKind::kConvBias:
        for (int d = 1; d + 1 < rank; ++d) e[d] = kWindow;
        e[-1] = c_.attrs.get_int("groups") == 1 ? kColumns / 2 : 0;
        return e;
      case OpKind::kConvTranspose:
        for (int d = 1; d + 1 < rank; ++d) e[d] = 0;
        if (c_.attrs.get_int("groups") != 1) return std::nullopt;
        return e;
      case OpKind::kRope:
      case OpKind::kNormRope:
        e[1] = kRows;
        e[2] = e[3] = 0;
        return e;
      case OpKind::kGather:
        if (c_.input(0).shape.rank() != 2) return std::nullopt;
        for (int d = 0; d + 1 < rank; ++d) e[d] = 0;
        e[-1] = kTableColumns;
        return e;
      case OpKind::kRmsNorm:
      case OpKind::kLayerNorm:
      case OpKind::kNormModulate:
      case OpKind::kResidualNorm:
      case OpKind::kGlu:
        e[-1] = 0;
        if (rank > 1) e[-2] = kRows;
        return e;
      case OpKind::kSoftmax: {
        const auto axis = normalize_axis(c_.attrs.get_int("axis"), rank);
        if (!axis.ok()) return std::nullopt;
        if (rank > 1) e[*axis == rank - 1 ? -2 : -1] = kRows;
        e[*axis] = 0;
        return e;
      }
      case OpKind::kTranspose:
      case OpKind::kSlice: return rows();
      default: return elementwise() ? std::optional<Shape>(rows()) : std::nullopt;
    }
  }

  // The smaller node whose output is the box.
  std::optional<NodePart> cut(const Box& out) const {
    NodePart part{c_.attrs, {}, out};
    for (size_t i = 0; i < c_.inputs.size(); ++i)
      part.inputs.push_back(c_.has(i) ? broadcast_box(out, c_.input(i).shape) : Box{});
    switch (def_.kind) {
      case OpKind::kMatmul:
      case OpKind::kLinear: cut_matmul(&part); break;
      case OpKind::kQuantizedMatmul:  // a, its factors, b, its factors, [bias]
        part.inputs[0] = last_part(out, 0, c_.input(0).shape[-1]);
        part.inputs[2] = whole_box(c_.input(2).shape);
        part.inputs[2].begin[0] = out.begin[-1];
        part.inputs[2].extent[0] = out.extent[-1];
        break;
      case OpKind::kAttention: cut_attention(&part, /*packed=*/false); break;
      case OpKind::kPackedAttention: cut_attention(&part, /*packed=*/true); break;
      case OpKind::kConv:
      case OpKind::kConvBias:
        if (!cut_conv(&part)) return std::nullopt;
        break;
      case OpKind::kConvTranspose:
        part.inputs[0] = whole_box(c_.input(0).shape);
        part.inputs[0].begin[0] = out.begin[0];
        part.inputs[0].extent[0] = out.extent[0];
        part.inputs[1] = filters(out);
        break;
      case OpKind::kRope:
      case OpKind::kNormRope:
        for (size_t i : {size_t{1}, size_t{2}}) {  // half as wide
          const Shape& table = c_.input(i).shape;
          part.inputs[i] = last_part(broadcast_box(out, table), 0, table[-1]);
        }
        if (c_.has(3)) part.inputs[3] = whole_box(c_.input(3).shape);
        break;
      case OpKind::kGather:
        part.inputs[0] = last_part(whole_box(c_.input(0).shape), out.begin[-1], out.extent[-1]);
        part.inputs[1] = whole_box(c_.input(1).shape);
        break;
      case OpKind::kGlu:
        if (!c_.has(1)) part.inputs[0] = last_part(out, 0, c_.input(0).shape[-1]);
        break;
      case OpKind::kTranspose: {
        const auto order = c_.attrs.get_ints("permutation");
        for (int d = 0; d < y_.rank(); ++d) {
          const auto from = static_cast<int>(order[idx(d)]);
          part.inputs[0].begin[from] = out.begin[d];
          part.inputs[0].extent[from] = out.extent[d];
        }
        break;
      }
      case OpKind::kSlice: return cut_slice(std::move(part));
      default: break;
    }
    return part;
  }

 private:
  Shape rows() const {
    Shape e = y_;
    for (int d = 0; d < e.rank(); ++d) e[d] = 1;
    e[-1] = 0;
    if (e.rank() > 1) e[-2] = kRows;
    return e;
  }

  // All inputs broadcast to the output, and no attribute counts elements.
  bool elementwise() const {
    if (def_.kind == OpKind::kCast || def_.kind == OpKind::kSelect ||
        def_.kind == OpKind::kGatedResidual)
      return true;
#define ZT_OP(kind, name, def)
#define ZT_UNARY(op, name, def) \
  if (def_.kind == OpKind::op) return true;
#define ZT_BINARY ZT_UNARY
#include "graph/ops/op_list.inc"
#undef ZT_OP
    return false;
  }

  void cut_matmul(NodePart* part) const {
    const Shape &a = c_.input(0).shape, &b = c_.input(1).shape;
    part->inputs[0] = last_part(broadcast_box(part->output, a), 0, a[-1]);
    Box& weight = part->inputs[1];
    weight = broadcast_box(part->output, b);
    const bool transposed = c_.attrs.get_bool("transpose_b");
    const int columns = transposed ? -2 : -1, depth = transposed ? -1 : -2;
    weight.begin[columns] = part->output.begin[-1];
    weight.extent[columns] = part->output.extent[-1];
    weight.begin[depth] = 0;
    weight.extent[depth] = b[depth];
  }

  // Causal, with queries before the first key.
  bool sees_nothing_first() const {
    return c_.attrs.get_bool("causal") && c_.input(0).shape[1] > c_.input(1).shape[1];
  }

  // Queries [i, i + r) of N; where it is causal they are the last r of the keys that they may see.
  void cut_attention(NodePart* part, bool packed) const {
    const Box& out = part->output;
    const Shape &q = c_.input(0).shape, &k = c_.input(1).shape;
    int64_t keys = k[1];
    if (c_.attrs.get_bool("causal"))
      keys = std::clamp<int64_t>(out.begin[1] + out.extent[1] + k[1] - q[1], out.extent[1], k[1]);
    for (size_t i = 0; i < 3; ++i) {
      Box& box = part->inputs[i];
      box = whole_box(c_.input(i).shape);
      box.begin[0] = out.begin[0];
      box.extent[0] = out.extent[0];
      box.begin[1] = i == 0 ? out.begin[1] : 0;
      box.extent[1] = i == 0 ? out.extent[1] : keys;
      if (packed) continue;
      const int64_t group = i == 0 ? 1 : q[2] / k[2];
      box.begin[2] = out.begin[2] / group;
      box.extent[2] = 1;  // extents() takes one head
    }
    if (c_.has(3)) {
      part->inputs[3].begin[0] = out.begin[0];
      part->inputs[3].extent[0] = out.extent[0];
    }
    if (!c_.has(4)) return;
    // Over [batch, heads, queries, keys].
    Shape begin{out.begin[0], out.begin[2], out.begin[1], 0};
    Shape extent{out.extent[0], out.extent[2], out.extent[1], keys};
    part->inputs[4] = broadcast_box({begin, extent}, c_.input(4).shape);
  }

  Box filters(const Box& out) const {
    Box box = whole_box(c_.input(1).shape);
    box.begin[0] = out.begin[-1];
    box.extent[0] = out.extent[-1];
    return box;
  }

  // The window that the box sees, with as much padding as lies outside.
  bool cut_conv(NodePart* part) const {
    const Shape &x = c_.input(0).shape, &weight = c_.input(1).shape;
    const auto geometry = ops::check_conv(c_, /*transposed=*/false);
    if (!geometry.ok()) return false;
    Box& window = part->inputs[0];
    window = whole_box(x);
    window.begin[0] = part->output.begin[0];
    window.extent[0] = part->output.extent[0];
    std::vector<Dim> lo, hi;
    for (int d = 0; d < geometry->spatial; ++d) {
      const int64_t stride = geometry->stride[idx(d)];
      const int64_t first = part->output.begin[d + 1] * stride - geometry->pad_lo[idx(d)];
      const int64_t last = first + (part->output.extent[d + 1] - 1) * stride +
                           geometry->dilation[idx(d)] * (weight[d + 1] - 1);
      const int64_t begin = std::clamp<int64_t>(first, 0, x[d + 1] - 1);
      const int64_t end = std::clamp<int64_t>(last, 0, x[d + 1] - 1);
      if (last < 0 || first >= x[d + 1]) return false;  // sees nothing but padding
      lo.emplace_back(begin - first);
      hi.emplace_back(last - end);
      window.begin[d + 1] = begin;
      window.extent[d + 1] = end - begin + 1;
    }
    part->attrs.set("pad_lo", lo);
    part->attrs.set("pad_hi", hi);
    part->inputs[1] = filters(part->output);
    if (c_.has(2)) part->inputs[2] = broadcast_box(part->output, c_.input(2).shape);
    return true;
  }

  std::optional<NodePart> cut_slice(NodePart part) const {
    const Shape& x = c_.input(0).shape;
    const auto axis = normalize_axis(c_.attrs.get_int("axis"), x.rank());
    if (!axis.ok() || c_.attrs.get_int("step") != 1) return std::nullopt;
    const int64_t start = c_.attrs.get_int("start");
    part.inputs[0] = part.output;
    part.inputs[0].begin[*axis] += start < 0 ? start + x[*axis] : start;
    part.attrs.set("start", Dim(0));
    part.attrs.set("end", Dim(part.output.extent[*axis]));
    return part;
  }

  const OpDef& def_;
  const OpContext& c_;
  const Shape& y_;
};

NodePart whole_part(const OpContext& c, const Shape& y) {
  NodePart part{c.attrs, {}, whole_box(y), true};
  for (size_t i = 0; i < c.inputs.size(); ++i)
    part.inputs.push_back(c.has(i) ? whole_box(c.input(i).shape) : Box{});
  return part;
}

// Arithmetic, or elements where there is none.
double work_of(const OpDef& def, const OpContext& c, std::span<const TensorType> outputs) {
  double elements = 0;
  for (const TensorType* type : c.inputs)
    if (type != nullptr) elements += static_cast<double>(type->shape.elements());
  for (const TensorType& type : outputs) elements += static_cast<double>(type.shape.elements());
  return std::max(elements, node_cost(def, c, outputs).flops);
}

}  // namespace

std::vector<NodePart> parts_of(const OpDef& def, const OpContext& c,
                               std::span<const TensorType> outputs, const PartOptions& options) {
  std::vector<NodePart> parts;
  const Shape& y = outputs[0].shape;
  if (work_of(def, c, outputs) <= options.whole_flops) {
    parts.push_back(whole_part(c, y));
    return parts;
  }
  for (const TensorType& type : outputs)
    if (!(type.shape == y)) return parts;
  const Cutter cutter(def, c, y);
  const auto extents = cutter.extents();
  if (!extents) return parts;
  Box box{y, y};
  for (int64_t n = 0; n < options.count; ++n) {
    const PhiloxBlock draw = philox_block(options.seed, 0, static_cast<uint64_t>(n));
    const PhiloxBlock more = philox_block(options.seed, 1, static_cast<uint64_t>(n));
    for (int d = 0; d < y.rank(); ++d) {
      box.extent[d] = (*extents)[d] == 0 ? y[d] : std::min((*extents)[d], y[d]);
      const int64_t last = y[d] - box.extent[d];
      const uint64_t random = d < 4 ? draw[idx(d)] : more[idx(d - 4)];
      box.begin[d] = n == 0 ? 0 : n == 1 ? last : static_cast<int64_t>(random % (idx(last) + 1));
    }
    if (auto part = cutter.cut(box)) parts.push_back(std::move(*part));
  }
  return parts;
}

EvalTensor load_box(const TensorType& type, const void* data, const Box& box) {
  EvalTensor out{box.extent, std::vector<double>(idx(box.extent.elements()))};
  if (out.data.empty()) return out;
  const auto* from = static_cast<const char*>(data);
  const int64_t size = dtype_size(type.dtype);
  const int rank = type.shape.rank();
  if (rank == 0 || box.extent == type.shape) {
    load_elements(type.dtype, data, type.shape.elements(), out.data.data());
    return out;
  }
  const ops::Strides strides = ops::strides_of(type.shape);
  Shape rows = box.extent;
  const int64_t run = rows[-1];
  rows[-1] = 1;
  int64_t base = 0;
  for (int d = 0; d < rank; ++d) base += box.begin[d] * strides[idx(d)];
  ops::for_each_element(
      rows, std::array<ops::Strides, 1>{strides}, [&](int64_t row, const auto& at) {
        load_elements(type.dtype, from + (base + at[0]) * size, run, out.data.data() + row * run);
      });
  return out;
}

}  // namespace zoetrope
