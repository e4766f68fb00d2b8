// Reductions over chosen axes, and softmax.
#include <algorithm>
#include <cmath>
#include <limits>

#include "graph/ops/common.h"
#include "graph/ops/walk.h"

namespace zoetrope {
namespace ops {
namespace {

// Which dimensions are reduced; an empty list means all.
Result<std::vector<bool>> reduced_dims(const Shape& x, const Attrs& attrs) {
  const std::vector<int64_t> axes = attrs.get_ints("axes");
  std::vector<bool> reduced(static_cast<size_t>(x.rank()), axes.empty());
  for (int64_t a : axes) {
    ZT_ASSIGN_OR_RETURN(const int axis, normalize_axis(a, x.rank()));
    if (reduced[idx(axis)]) return error(Code::kInvalidArgument, "axis ", a, " is given twice");
    reduced[idx(axis)] = true;
  }
  return reduced;
}

// x with 1 for what is reduced, and with 1 for what is kept.
struct Split {
  Shape kept, gone;
};
Split split(const Shape& x, const Attrs& attrs) {
  const std::vector<bool> reduced = *reduced_dims(x, attrs);
  Split split{x, x};
  for (int d = 0; d < x.rank(); ++d) (reduced[idx(d)] ? split.kept : split.gone)[d] = 1;
  return split;
}

template <bool NeedsElements>
Result<Types> infer_reduce(const OpContext& c) {
  ZT_RETURN_IF_ERROR(require_inputs(c, 1));
  ZT_RETURN_IF_ERROR(require_float(c, 0, "x"));
  const Shape& x = c.input(0).shape;
  ZT_ASSIGN_OR_RETURN(const std::vector<bool> reduced, reduced_dims(x, c.attrs));
  Shape shape;
  for (int d = 0; d < x.rank(); ++d) {
    if (NeedsElements && reduced[idx(d)] && x[d] == 0)
      return error(Code::kInvalidArgument, "nothing to reduce along axis ", d, " of ",
                   c.input(0).to_string());
    if (!reduced[idx(d)])
      shape.push_back(x[d]);
    else if (c.attrs.get_bool("keep_dims"))
      shape.push_back(1);
  }
  return one_output(c.input(0).dtype, shape);
}

enum class Reduction { kSum, kMean, kMax };

template <Reduction R>
void reference_reduce(const OpContext& c, RefInputs in, std::span<const TensorType>,
                      RefOutputs out) {
  const Shape& x = in[0]->shape;
  const Shape kept = split(x, c.attrs).kept;
  const double start = R == Reduction::kMax ? -std::numeric_limits<double>::infinity() : 0;
  std::fill(out[0].begin(), out[0].end(), start);
  for_each_element(x, std::array<Strides, 1>{broadcast_strides(kept, x)},
                   [&](int64_t i, const auto& at) {
                     double& y = out[0][idx(at[0])];
                     const double v = in[0]->data[idx(i)];
                     y = R == Reduction::kMax ? (v > y || std::isnan(v) ? v : y) : y + v;
                   });
  if (R == Reduction::kMean) {
    const double n = static_cast<double>(x.elements()) / static_cast<double>(kept.elements());
    for (double& y : out[0]) y /= n;
  }
}

double flops_reduce(const OpContext& c, std::span<const TensorType>) {
  return static_cast<double>(c.input(0).shape.elements());
}

template <Reduction R>
OpDef reduce_def(OpKind kind, std::string_view name, Tolerance tolerance) {
  return OpDef{
      .kind = kind,
      .name = name,
      .attrs = {{"axes", AttrType::kInts, false, std::vector<Dim>{}},
                {"keep_dims", AttrType::kBool, false, true}},
      .infer = infer_reduce<R != Reduction::kSum>,
      .flops = flops_reduce,
      .reference = reference_reduce<R>,
      .tolerance = tolerance,
  };
}

Result<Types> infer_softmax(const OpContext& c) {
  ZT_RETURN_IF_ERROR(require_inputs(c, 1));
  ZT_RETURN_IF_ERROR(require_float(c, 0, "x"));
  ZT_RETURN_IF_ERROR(normalize_axis(c.attrs.get_int("axis"), c.input(0).shape.rank()).status());
  return Types{c.input(0)};
}

void reference_softmax(const OpContext& c, RefInputs in, std::span<const TensorType>,
                       RefOutputs out) {
  const Shape& x = in[0]->shape;
  const int axis = *normalize_axis(c.attrs.get_int("axis"), x.rank());
  const int64_t rows = extent(x, 0, axis), n = x[axis], inner = extent(x, axis + 1, x.rank());
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t e = 0; e < inner; ++e) {
      const double* from = in[0]->data.data() + r * n * inner + e;
      double* to = out[0].data() + r * n * inner + e;
      double most = -std::numeric_limits<double>::infinity(), sum = 0;
      for (int64_t i = 0; i < n; ++i) most = std::max(most, from[i * inner]);
      for (int64_t i = 0; i < n; ++i) sum += to[i * inner] = std::exp(from[i * inner] - most);
      for (int64_t i = 0; i < n; ++i) to[i * inner] /= sum;
    }
  }
}

double flops_softmax(const OpContext&, std::span<const TensorType> out) {
  return 12 * static_cast<double>(out[0].shape.elements());
}

}  // namespace

ReductionWalks reduction_walks(const Shape& x, const Attrs& attrs) {
  const auto [kept, gone] = split(x, attrs);
  const Strides own = strides_of(x);
  return {Walk<1>(kept, {own}), Walk<1>(gone, {own})};
}

}  // namespace ops

// Sum, mean and maximum over `axes` (none given: all); keep_dims leaves them as dimensions of 1.
const OpDef& reduce_sum_op() {
  static const OpDef def =
      ops::reduce_def<ops::Reduction::kSum>(OpKind::kReduceSum, "reduce_sum", {1e-5, 1e-5});
  return def;
}
const OpDef& reduce_mean_op() {
  static const OpDef def =
      ops::reduce_def<ops::Reduction::kMean>(OpKind::kReduceMean, "reduce_mean", {1e-6, 1e-5});
  return def;
}
const OpDef& reduce_max_op() {
  static const OpDef def =
      ops::reduce_def<ops::Reduction::kMax>(OpKind::kReduceMax, "reduce_max", {0, 0});
  return def;
}

// exp(x − max) / Σ exp(x − max) along axis.
const OpDef& softmax_op() {
  static const OpDef def{
      .kind = OpKind::kSoftmax,
      .name = "softmax",
      .attrs = {{"axis", AttrType::kInt, false, Dim(-1)}},
      .infer = ops::infer_softmax,
      .flops = ops::flops_softmax,
      .reference = ops::reference_softmax,
      .tolerance = {1e-6, 5e-6},
      .inplace_inputs = 1,
  };
  return def;
}

}  // namespace zoetrope
