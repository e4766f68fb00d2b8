// Ops that move elements without arithmetic: reshape, transpose, broadcast, slice, concat, repeat,
// gather.
#include <algorithm>

#include "graph/builder.h"
#include "graph/ops/common.h"
#include "graph/ops/walk.h"

namespace zoetrope {
namespace ops {
namespace {

Result<Types> infer_reshape(const OpContext& c) {
  ZT_RETURN_IF_ERROR(require_inputs(c, 1));
  std::vector<int64_t> dims = c.attrs.get_ints("dims");
  const int64_t elements = c.input(0).shape.elements();
  const auto free_dims = std::count(dims.begin(), dims.end(), -1);
  if (free_dims > 1) return error(Code::kInvalidArgument, "dims has ", free_dims, " entries of -1");
  if (free_dims == 1) {
    auto free_dim = std::find(dims.begin(), dims.end(), -1);
    *free_dim = 1;
    ZT_ASSIGN_OR_RETURN(const int64_t rest, checked_elements(dims));
    if (rest == 0 || elements % rest != 0)
      return error(Code::kInvalidArgument, "cannot find the dimension -1: ", c.input(0).to_string(),
                   " over ", rest);
    *free_dim = elements / rest;
  }
  ZT_ASSIGN_OR_RETURN(Types out, one_output(c.input(0).dtype, dims));
  if (out[0].shape.elements() != elements)
    return error(Code::kInvalidArgument, "cannot reshape ", c.input(0).to_string(), " to ",
                 out[0].shape.to_string());
  return out;
}

void reference_reshape(const OpContext&, RefInputs in, std::span<const TensorType>,
                       RefOutputs out) {
  std::copy(in[0]->data.begin(), in[0]->data.end(), out[0].begin());
}

Result<Types> infer_transpose(const OpContext& c) {
  ZT_RETURN_IF_ERROR(require_inputs(c, 1));
  const Shape& x = c.input(0).shape;
  const std::vector<int64_t> order = c.attrs.get_ints("permutation");
  std::vector<bool> seen(static_cast<size_t>(x.rank()), false);
  Shape shape;
  for (int64_t axis : order) {
    if (axis < 0 || axis >= x.rank() || seen[idx(axis)] || shape.rank() == kMaxRank) break;
    seen[idx(axis)] = true;
    shape.push_back(x[static_cast<int>(axis)]);
  }
  if (shape.rank() != x.rank() || order.size() != static_cast<size_t>(x.rank()))
    return error(Code::kInvalidArgument, "permutation must name each of the ", x.rank(),
                 " axes once; found ", attr_to_string(*c.attrs.find("permutation")));
  return one_output(c.input(0).dtype, shape);
}

}  // namespace

Strides transposed_strides(const Shape& x, const Attrs& attrs) {
  const std::vector<int64_t> order = attrs.get_ints("permutation");
  const Strides own = strides_of(x);
  Strides strides{};
  for (size_t d = 0; d < order.size(); ++d) strides[d] = own[idx(order[d])];
  return strides;
}

namespace {

void reference_transpose(const OpContext& c, RefInputs in, std::span<const TensorType> types,
                         RefOutputs out) {
  for_each_element(types[0].shape,
                   std::array<Strides, 1>{transposed_strides(in[0]->shape, c.attrs)},
                   [&](int64_t i, const auto& at) { out[0][idx(i)] = in[0]->data[idx(at[0])]; });
}

Result<Types> infer_broadcast(const OpContext& c) {
  ZT_RETURN_IF_ERROR(require_inputs(c, 1));
  ZT_ASSIGN_OR_RETURN(Types out, one_output(c.input(0).dtype, c.attrs.get_ints("dims")));
  ZT_ASSIGN_OR_RETURN(const Shape joined, broadcast_shapes(c.input(0).shape, out[0].shape));
  if (!(joined == out[0].shape))
    return error(Code::kInvalidArgument, "cannot broadcast ", c.input(0).to_string(), " to ",
                 out[0].shape.to_string());
  return out;
}

void reference_broadcast(const OpContext&, RefInputs in, std::span<const TensorType> types,
                         RefOutputs out) {
  const Shape& shape = types[0].shape;
  for_each_element(shape, std::array<Strides, 1>{broadcast_strides(in[0]->shape, shape)},
                   [&](int64_t i, const auto& at) { out[0][idx(i)] = in[0]->data[idx(at[0])]; });
}

struct SliceRange {
  int axis;
  int64_t start, end, step;
  int64_t count() const { return (end - start + step - 1) / step; }
};

Result<SliceRange> slice_range(const Shape& x, const Attrs& attrs) {
  ZT_ASSIGN_OR_RETURN(const int axis, normalize_axis(attrs.get_int("axis"), x.rank()));
  const int64_t size = x[axis];
  SliceRange range{axis, attrs.get_int("start"), attrs.get_int("end"), attrs.get_int("step")};
  if (range.end == Builder::kToEnd) range.end = size;
  if (range.start < 0 && range.start >= -size) range.start += size;
  if (range.end < 0 && range.end >= -size) range.end += size;
  if (range.start < 0 || range.end < range.start || range.end > size)
    return error(Code::kInvalidArgument, "slice [", attrs.get_int("start"), ", ",
                 attrs.get_int("end"), ") lies outside axis ", axis, " of ", x.to_string());
  if (range.step < 1 || range.step > kMaxExtent)
    return error(Code::kInvalidArgument, "step must be positive; found ", range.step);
  return range;
}

Result<Types> infer_slice(const OpContext& c) {
  ZT_RETURN_IF_ERROR(require_inputs(c, 1));
  ZT_ASSIGN_OR_RETURN(const SliceRange range, slice_range(c.input(0).shape, c.attrs));
  Shape shape = c.input(0).shape;
  shape[range.axis] = range.count();
  return one_output(c.input(0).dtype, shape);
}

void reference_slice(const OpContext& c, RefInputs in, std::span<const TensorType> types,
                     RefOutputs out) {
  const SliceRange range = *slice_range(in[0]->shape, c.attrs);
  Strides walk = strides_of(in[0]->shape);
  const int64_t base = range.start * walk[idx(range.axis)];
  walk[idx(range.axis)] *= range.step;
  for_each_element(types[0].shape, std::array<Strides, 1>{walk}, [&](int64_t i, const auto& at) {
    out[0][idx(i)] = in[0]->data[idx(base + at[0])];
  });
}

Result<Types> infer_concat(const OpContext& c) {
  ZT_RETURN_IF_ERROR(require_inputs(c, std::max<size_t>(c.inputs.size(), 1)));
  Shape shape = c.input(0).shape;
  ZT_ASSIGN_OR_RETURN(const int axis, normalize_axis(c.attrs.get_int("axis"), shape.rank()));
  int64_t total = 0;
  for (size_t i = 0; i < c.inputs.size(); ++i) {
    ZT_RETURN_IF_ERROR(require_same_dtype(c, i, str("part ", i), c.input(0).dtype));
    Shape expected = shape;
    if (c.input(i).shape.rank() == shape.rank()) expected[axis] = c.input(i).shape[axis];
    ZT_RETURN_IF_ERROR(require_shape(c, i, str("part ", i), expected));
    total += c.input(i).shape[axis];
    if (total > kMaxExtent) return error(Code::kInvalidArgument, "the parts are too large");
  }
  shape[axis] = total;
  return one_output(c.input(0).dtype, shape);
}

void reference_concat(const OpContext& c, RefInputs in, std::span<const TensorType> types,
                      RefOutputs out) {
  const Shape& shape = types[0].shape;
  const int axis = *normalize_axis(c.attrs.get_int("axis"), shape.rank());
  const int64_t rows = extent(shape, 0, axis), inner = extent(shape, axis + 1, shape.rank());
  const int64_t row = shape[axis] * inner;
  int64_t base = 0;
  for (const RefTensor* part : in) {
    const int64_t n = part->shape[axis] * inner;
    for (int64_t r = 0; r < rows; ++r)
      std::copy_n(part->data.begin() + r * n, n, out[0].begin() + r * row + base);
    base += n;
  }
}

Result<Types> infer_repeat(const OpContext& c) {
  ZT_RETURN_IF_ERROR(require_inputs(c, 1));
  Shape shape = c.input(0).shape;
  ZT_ASSIGN_OR_RETURN(const int axis, normalize_axis(c.attrs.get_int("axis"), shape.rank()));
  const int64_t times = c.attrs.get_int("times");
  if (times < 1 || (shape[axis] > 0 && times > kMaxExtent / shape[axis]))
    return error(Code::kInvalidArgument, "times must lie in [1, 2^46 elements]; found ", times);
  shape[axis] *= times;
  return one_output(c.input(0).dtype, shape);
}

void reference_repeat(const OpContext& c, RefInputs in, std::span<const TensorType>,
                      RefOutputs out) {
  const Shape& x = in[0]->shape;
  const int axis = *normalize_axis(c.attrs.get_int("axis"), x.rank());
  const int64_t rows = extent(x, 0, axis + 1), inner = extent(x, axis + 1, x.rank());
  const int64_t times = inner == 0 ? 0 : c.attrs.get_int("times");
  auto to = out[0].begin();
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t t = 0; t < times; ++t)
      to = std::copy_n(in[0]->data.begin() + r * inner, inner, to);
}

Result<Types> infer_gather(const OpContext& c) {
  ZT_RETURN_IF_ERROR(require_inputs(c, 2));
  ZT_RETURN_IF_ERROR(require_rank(c, 0, "table", 1, kMaxRank));
  const TensorType &table = c.input(0), &indices = c.input(1);
  if (indices.dtype != DType::kI32 && indices.dtype != DType::kI64)
    return error(Code::kInvalidArgument, "indices must be i32 or i64; found ", indices.to_string());
  if (indices.shape.rank() + table.shape.rank() - 1 > kMaxRank)
    return error(Code::kInvalidArgument, "gathering ", table.to_string(), " at ",
                 indices.to_string(), " needs more than ", kMaxRank, " dimensions");
  if (table.shape[0] == 0 && indices.shape.elements() > 0)
    return error(Code::kInvalidArgument, "the table is empty: ", table.to_string());
  Shape shape = indices.shape;
  for (int d = 1; d < table.shape.rank(); ++d) shape.push_back(table.shape[d]);
  return one_output(table.dtype, shape);
}

void reference_gather(const OpContext&, RefInputs in, std::span<const TensorType>, RefOutputs out) {
  const Shape& table = in[0]->shape;
  const int64_t inner = extent(table, 1, table.rank());
  for (size_t i = 0; i < in[1]->data.size(); ++i) {
    const double clamped = std::clamp(in[1]->data[i], 0.0, static_cast<double>(table[0] - 1));
    std::copy_n(in[0]->data.begin() + static_cast<int64_t>(clamped) * inner, inner,
                out[0].begin() + static_cast<int64_t>(i) * inner);
  }
}

}  // namespace
}  // namespace ops

// The same bytes under another shape. One entry of dims may be -1.
const OpDef& reshape_op() {
  static const OpDef def{
      .kind = OpKind::kReshape,
      .name = "reshape",
      .attrs = {{"dims", AttrType::kInts}},
      .infer = ops::infer_reshape,
      .reference = ops::reference_reshape,
      .tolerance = {0, 0},
      .is_view = true,
  };
  return def;
}

// out's dimension d is x's dimension permutation[d] (numpy.transpose).
const OpDef& transpose_op() {
  static const OpDef def{
      .kind = OpKind::kTranspose,
      .name = "transpose",
      .attrs = {{"permutation", AttrType::kInts}},
      .infer = ops::infer_transpose,
      .reference = ops::reference_transpose,
      .tolerance = {0, 0},
  };
  return def;
}

// numpy.broadcast_to(x, dims).
const OpDef& broadcast_op() {
  static const OpDef def{
      .kind = OpKind::kBroadcast,
      .name = "broadcast",
      .attrs = {{"dims", AttrType::kInts}},
      .infer = ops::infer_broadcast,
      .reference = ops::reference_broadcast,
      .tolerance = {0, 0},
  };
  return def;
}

// x[start:end:step] along axis. Negative start and end count from the end; INT64_MAX as end takes
// the rest. Unlike Python's, ranges outside the axis are errors.
const OpDef& slice_op() {
  static const OpDef def{
      .kind = OpKind::kSlice,
      .name = "slice",
      .attrs = {{"axis", AttrType::kInt},
                {"start", AttrType::kInt, false, Dim(0)},
                {"end", AttrType::kInt, false, Dim(Builder::kToEnd)},
                {"step", AttrType::kInt, false, Dim(1)}},
      .infer = ops::infer_slice,
      .reference = ops::reference_slice,
      .tolerance = {0, 0},
  };
  return def;
}

// The parts one after the other along axis; all other dimensions agree.
const OpDef& concat_op() {
  static const OpDef def{
      .kind = OpKind::kConcat,
      .name = "concat",
      .attrs = {{"axis", AttrType::kInt}},
      .min_inputs = 1,
      .max_inputs = -1,
      .infer = ops::infer_concat,
      .reference = ops::reference_concat,
      .tolerance = {0, 0},
  };
  return def;
}

// Every element `times` in a row along axis (torch.repeat_interleave): nearest-neighbour
// upsampling.
const OpDef& repeat_op() {
  static const OpDef def{
      .kind = OpKind::kRepeat,
      .name = "repeat",
      .attrs = {{"axis", AttrType::kInt}, {"times", AttrType::kInt}},
      .infer = ops::infer_repeat,
      .reference = ops::reference_repeat,
      .tolerance = {0, 0},
  };
  return def;
}

// out[i..., :] = table[indices[i...], :]. The indices are data, so they cannot be checked ahead:
// those outside the table are clamped into it.
const OpDef& gather_op() {
  static const OpDef def{
      .kind = OpKind::kGather,
      .name = "gather",
      .attrs = {},
      .min_inputs = 2,
      .max_inputs = 2,
      .infer = ops::infer_gather,
      .reference = ops::reference_gather,
      .tolerance = {0, 0},
  };
  return def;
}

}  // namespace zoetrope
