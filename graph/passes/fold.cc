#include "graph/passes/fold.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "graph/evaluate.h"
#include "graph/passes/rebuild.h"

namespace zoetrope {
namespace {

std::vector<Dim> dims_of(const Shape& shape) { return {shape.begin(), shape.end()}; }

// Every value of `from` is a value of `to`.
bool widens(DType from, DType to) {
  if (from == to) return true;
  if (to == DType::kF64) return from != DType::kI64;
  return to == DType::kF32 && (from == DType::kF16 || from == DType::kBF16);
}

double rounded(DType dtype, double value) {
  int64_t bits = 0;
  store_element(dtype, &bits, 0, value);
  return load_element(dtype, &bits, 0);
}

struct Interval {
  int axis;
  int64_t start, end, step;
};

class Folder {
 public:
  explicit Folder(const Graph& graph) : r_(graph), pinned_(graph.values.size(), false) {
    for (const GraphOutput& output : graph.outputs)
      pinned_[static_cast<size_t>(output.value)] = true;
    for (const StatePair& pair : graph.states) pinned_[static_cast<size_t>(pair.next)] = true;
  }

  Result<Graph> run() {
    for (const Node& node : r_.from().nodes) {
      const std::vector<ValueId> inputs = r_.mapped(node.inputs);
      ValueId now = node.outputs.size() == 1 ? simplify(node, inputs) : kNone;
      // What leaves the graph is made by a node.
      if (now != kNone && pinned_[static_cast<size_t>(node.outputs[0])] &&
          r_.out().value(now).kind != ValueKind::kNode)
        now = kNone;
      if (now == kNone)
        r_.copy(node, inputs);
      else
        r_.set(node.outputs[0], now);
      ZT_RETURN_IF_ERROR(r_.builder().status());
    }
    return r_.finish();
  }

 private:
  // A value of the new graph that equals the node's output; kNone keeps the node.
  ValueId simplify(const Node& node, const std::vector<ValueId>& in) {
    if (in.empty()) return kNone;
    name_ = &node.name;
    want_ = r_.from().value(node.outputs[0]).type;
    if (const auto value = constant_of(node, in)) return fill(*value);
    switch (node.op) {
      case OpKind::kCast: return cast(in[0]);
      case OpKind::kReshape: return reshape(in[0], node);
      case OpKind::kTranspose: return transpose(in[0], node);
      case OpKind::kBroadcast: return broadcast(in[0]);
      case OpKind::kSlice: return slice(in[0], node);
      case OpKind::kConcat: return concat(in, node);
      case OpKind::kPad:
      case OpKind::kRepeat: return same_type(in[0]);
      case OpKind::kNeg: return scaled_iota(in[0], 0, -1);
      case OpKind::kAdd:
      case OpKind::kSub:
      case OpKind::kMul:
      case OpKind::kDiv:
      case OpKind::kPow: return arithmetic(node.op, in);
      case OpKind::kSelect:
        if (const auto condition = splat(in[0])) return same_type(*condition != 0 ? in[1] : in[2]);
        return kNone;
      default: return kNone;
    }
  }

  // The one value of a fill.
  std::optional<double> splat(ValueId id) const {
    const Node* node = r_.made_by(id, OpKind::kFill);
    if (node == nullptr) return std::nullopt;
    return rounded(r_.type(id).dtype, node->attrs.get_float("value"));
  }

  ValueId fill(double value) {
    return r_.builder().op(OpKind::kFill, {},
                           {{"value", value},
                            {"dims", dims_of(want_.shape)},
                            {"dtype", std::string(dtype_name(want_.dtype))}},
                           *name_);
  }

  ValueId same_type(ValueId id) const { return r_.type(id) == want_ ? id : kNone; }

  // The value that a node of fills has everywhere.
  std::optional<double> constant_of(const Node& node, const std::vector<ValueId>& in) const {
    std::vector<double> values;
    for (ValueId id : in) {
      const auto value = id == kNone ? std::nullopt : splat(id);
      if (!value) return std::nullopt;
      values.push_back(*value);
    }
    std::optional<double> result;
    if (is_pointwise(node.op)) {
      result = evaluate_scalar(node, in, values);
    } else {
      switch (node.op) {
        case OpKind::kReshape:
        case OpKind::kTranspose:
        case OpKind::kBroadcast:
        case OpKind::kSlice:
        case OpKind::kRepeat: result = values[0]; break;
        case OpKind::kConcat:
          if (std::equal(values.begin() + 1, values.end(), values.begin())) result = values[0];
          break;
        case OpKind::kReduceMean:
        case OpKind::kReduceMax:
          if (r_.type(in[0]).shape.elements() > 0) result = values[0];
          break;
        case OpKind::kReduceSum:
          if (want_.shape.elements() > 0)
            result = values[0] *
                     static_cast<double>(r_.type(in[0]).shape.elements() / want_.shape.elements());
          break;
        default: break;
      }
    }
    if (!result || !std::isfinite(rounded(want_.dtype, *result))) return std::nullopt;
    return rounded(want_.dtype, *result);
  }

  std::optional<double> evaluate_scalar(const Node& node, const std::vector<ValueId>& in,
                                        const std::vector<double>& values) const {
    std::vector<TensorType> types;
    std::vector<EvalTensor> tensors;
    for (size_t i = 0; i < in.size(); ++i) {
      types.push_back({r_.type(in[i]).dtype, Shape{}});
      tensors.push_back({Shape{}, {values[i]}});
    }
    std::vector<const TensorType*> type_pointers;
    std::vector<const EvalTensor*> tensor_pointers;
    for (size_t i = 0; i < in.size(); ++i) {
      type_pointers.push_back(&types[i]);
      tensor_pointers.push_back(&tensors[i]);
    }
    auto out = reference_evaluate_node(op_def(node.op), node.attrs, type_pointers, tensor_pointers);
    if (!out.ok() || (*out)[0].data.size() != 1) return std::nullopt;
    return (*out)[0].data[0];
  }

  ValueId cast(ValueId x) {
    if (const ValueId same = same_type(x); same != kNone) return same;
    const Node* inner = r_.made_by(x, OpKind::kCast);
    if (inner == nullptr) return kNone;
    const ValueId source = inner->inputs[0];
    if (!widens(r_.type(source).dtype, r_.type(x).dtype)) return kNone;
    if (const ValueId same = same_type(source); same != kNone) return same;
    return r_.builder().op(OpKind::kCast, {source},
                           {{"dtype", std::string(dtype_name(want_.dtype))}}, *name_);
  }

  ValueId view_of(ValueId source) {
    if (const Node* inner = r_.made_by(source, OpKind::kReshape)) source = inner->inputs[0];
    if (const ValueId same = same_type(source); same != kNone) return same;
    return r_.builder().op(OpKind::kReshape, {source}, {{"dims", dims_of(want_.shape)}}, *name_);
  }

  ValueId reshape(ValueId x, const Node&) {
    const bool useful = r_.type(x) == want_ || r_.made_by(x, OpKind::kReshape) != nullptr;
    return useful ? view_of(x) : kNone;
  }

  ValueId transpose(ValueId x, const Node& node) {
    std::vector<int64_t> order = node.attrs.get_ints("permutation");
    ValueId source = x;
    if (const Node* inner = r_.made_by(x, OpKind::kTranspose)) {
      const std::vector<int64_t> before = inner->attrs.get_ints("permutation");
      for (int64_t& axis : order) axis = before[static_cast<size_t>(axis)];
      source = inner->inputs[0];
    }
    // Moving only axes of size 1 leaves the bytes where they are.
    const Shape& shape = r_.type(source).shape;
    int64_t last = -1;
    bool in_place = true;
    for (int64_t axis : order) {
      if (shape[static_cast<int>(axis)] == 1) continue;
      in_place = in_place && axis > last;
      last = axis;
    }
    if (in_place) return view_of(source);
    if (source == x) return kNone;
    return r_.builder().op(OpKind::kTranspose, {source},
                           {{"permutation", std::vector<Dim>(order.begin(), order.end())}}, *name_);
  }

  ValueId broadcast(ValueId x) {
    if (r_.type(x).shape.elements() == want_.shape.elements()) return view_of(x);
    const Node* inner = r_.made_by(x, OpKind::kBroadcast);
    if (inner == nullptr) return kNone;
    return r_.builder().op(OpKind::kBroadcast, {inner->inputs[0]}, {{"dims", dims_of(want_.shape)}},
                           *name_);
  }

  static Interval interval(const Node& slice, const Shape& x) {
    const int64_t given = slice.attrs.get_int("axis");
    const int axis = static_cast<int>(given < 0 ? given + x.rank() : given);
    Interval r{axis, slice.attrs.get_int("start"), slice.attrs.get_int("end"),
               slice.attrs.get_int("step")};
    if (r.end == Builder::kToEnd) r.end = x[axis];
    if (r.start < 0) r.start += x[axis];
    if (r.end < 0) r.end += x[axis];
    return r;
  }

  ValueId make_slice(ValueId x, const Interval& r) {
    if (const ValueId same = same_type(x); same != kNone && r.step == 1) return same;
    return r_.builder().op(OpKind::kSlice, {x},
                           {{"axis", Dim(r.axis)},
                            {"start", Dim(r.start)},
                            {"end", Dim(r.end)},
                            {"step", Dim(r.step)}},
                           *name_);
  }

  ValueId slice(ValueId x, const Node& node) {
    const Interval r = interval(node, r_.type(x).shape);
    if (r_.type(x) == want_) return x;  // as many elements as there are: all of them
    if (const Node* inner = r_.made_by(x, OpKind::kSlice)) {
      const ValueId source = inner->inputs[0];
      const Interval before = interval(*inner, r_.type(source).shape);
      if (before.axis != r.axis || want_.shape[r.axis] == 0) return kNone;
      const int64_t step = before.step * r.step, start = before.start + r.start * before.step;
      return make_slice(source,
                        {r.axis, start, start + (want_.shape[r.axis] - 1) * step + 1, step});
    }
    if (const Node* inner = r_.made_by(x, OpKind::kConcat)) {
      const int64_t given = inner->attrs.get_int("axis");
      if ((given < 0 ? given + want_.shape.rank() : given) != r.axis) return kNone;
      int64_t base = 0;
      for (const ValueId part : inner->inputs) {
        const int64_t size = r_.type(part).shape[r.axis];
        if (r.start >= base && r.end <= base + size)
          return make_slice(part, {r.axis, r.start - base, r.end - base, r.step});
        base += size;
      }
    }
    return kNone;
  }

  // Empty parts go, inner concats are taken apart, neighbouring slices of one value are joined.
  ValueId concat(const std::vector<ValueId>& in, const Node& node) {
    const int64_t given = node.attrs.get_int("axis");
    const int axis = static_cast<int>(given < 0 ? given + want_.shape.rank() : given);
    std::vector<ValueId> parts;
    size_t inputs = in.size();
    for (ValueId id : in) {
      if (r_.type(id).shape[axis] == 0) continue;
      const Node* inner = r_.made_by(id, OpKind::kConcat);
      const int64_t inner_axis = inner ? inner->attrs.get_int("axis") : 0;
      const size_t more = inner != nullptr ? inner->inputs.size() : 0;
      if (inner != nullptr && inputs + more <= kMaxNodeInputs && more <= may_take_apart_ &&
          (inner_axis < 0 ? inner_axis + want_.shape.rank() : inner_axis) == axis) {
        parts.insert(parts.end(), inner->inputs.begin(), inner->inputs.end());
        inputs += more;
        may_take_apart_ -= more;
      } else {
        parts.push_back(id);
      }
    }
    if (parts.empty()) return kNone;
    if (parts.size() == 1) return same_type(parts[0]);
    if (const ValueId whole = reassembled(parts, axis); whole != kNone) return whole;
    if (parts == in) return kNone;
    return r_.builder().op(OpKind::kConcat, std::move(parts), {{"axis", Dim(axis)}}, *name_);
  }

  // The parts are one value cut up and put together again.
  ValueId reassembled(const std::vector<ValueId>& parts, int axis) const {
    const Node* first = r_.made_by(parts[0], OpKind::kSlice);
    if (first == nullptr) return kNone;
    const ValueId source = first->inputs[0];
    if (!(r_.type(source) == want_)) return kNone;
    int64_t at = 0;
    for (ValueId part : parts) {
      const Node* node = r_.made_by(part, OpKind::kSlice);
      if (node == nullptr || node->inputs[0] != source) return kNone;
      const Interval r = interval(*node, want_.shape);
      if (r.axis != axis || r.step != 1 || r.start != at) return kNone;
      at = r.end;
    }
    return source;
  }

  // offset + factor · iota, where the result has the iota's type.
  ValueId scaled_iota(ValueId x, double offset, double factor) {
    const Node* node = r_.made_by(x, OpKind::kIota);
    if (node == nullptr || same_type(x) == kNone) return kNone;
    if (want_.dtype != DType::kF32 && want_.dtype != DType::kF64) return kNone;
    const double start = offset + factor * node->attrs.get_float("start");
    const double step = factor * node->attrs.get_float("step");
    if (!std::isfinite(start) || !std::isfinite(step)) return kNone;
    return r_.builder().op(OpKind::kIota, {},
                           {{"length", Dim(want_.shape[0])},
                            {"start", start},
                            {"step", step},
                            {"dtype", std::string(dtype_name(want_.dtype))}},
                           *name_);
  }

  ValueId arithmetic(OpKind op, const std::vector<ValueId>& in) {
    for (const size_t side : {size_t{1}, size_t{0}}) {
      const auto constant = splat(in[side]);
      if (!constant) continue;
      const ValueId x = in[1 - side];
      const bool left = side == 0;  // the constant is the left operand
      const double c = *constant;
      const bool neutral =
          (op == OpKind::kAdd && c == 0) || (op == OpKind::kMul && c == 1) ||
          (!left && ((op == OpKind::kSub && c == 0) || (op == OpKind::kDiv && c == 1) ||
                     (op == OpKind::kPow && c == 1)));
      if (neutral) return same_type(x);
      if (op == OpKind::kAdd) return scaled_iota(x, c, 1);
      if (op == OpKind::kMul) return scaled_iota(x, 0, c);
      if (op == OpKind::kSub) return left ? scaled_iota(x, c, -1) : scaled_iota(x, -c, 1);
      if (op == OpKind::kDiv && !left && c != 0) return scaled_iota(x, 0, 1 / c);
    }
    return kNone;
  }

  Rebuild r_;
  std::vector<bool> pinned_;           // by old value: an output or a state's successor
  const std::string* name_ = nullptr;  // of the node being simplified
  TensorType want_;                    // its type
  size_t may_take_apart_ = 1 << 20;    // inputs of inner concats, in all: nesting must not multiply
};

}  // namespace

Result<Graph> fold_constants(const Graph& graph) {
  ZT_CHECK(graph.bound);
  return Folder(graph).run();
}

}  // namespace zoetrope
