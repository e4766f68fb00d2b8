// dequantize: weights stored in 8 or 4 bits, as numbers.
#include "graph/ops/dequantize.h"
#include "graph/ops/common.h"

namespace zoetrope {
namespace ops {

Result<DequantizeShape> dequantize_shape(const Attrs& attrs) {
  DequantizeShape s;
  const std::vector<int64_t> dims = attrs.get_ints("dims");
  if (dims.empty()) return error(Code::kInvalidArgument, "dims must name one dimension at least");
  ZT_ASSIGN_OR_RETURN(const int64_t elements, checked_elements(dims));
  s.rows = dims[0];
  s.columns = s.rows > 0 ? elements / s.rows : 0;
  s.bits = attrs.get_int("bits");
  if (s.bits != 4 && s.bits != 8)
    return error(Code::kInvalidArgument, "bits must be 4 or 8; found ", s.bits);
  const int64_t group = attrs.get_int("group");
  if (group < 0 || group > kMaxExtent || group % 2 != 0)
    return error(Code::kInvalidArgument, "group must be even, or 0 for a whole row; found ", group);
  s.group = group == 0 ? std::max<int64_t>(s.columns, 1) : group;
  s.groups = (s.columns + s.group - 1) / s.group;
  s.row_bytes = s.bits == 8 ? s.columns : (s.columns + 1) / 2;
  return s;
}

namespace {

enum Input : size_t { kQ, kScale, kOffset };

Result<Types> infer_dequantize(const OpContext& c) {
  ZT_RETURN_IF_ERROR(require_inputs(c, 2));
  ZT_ASSIGN_OR_RETURN(const DequantizeShape s, dequantize_shape(c.attrs));
  const DType q = c.input(kQ).dtype;
  if (s.bits == 4 ? q != DType::kU8 : q != DType::kI8 && q != DType::kF8E4M3)
    return error(Code::kInvalidArgument, "q must be ", s.bits == 4 ? "u8" : "i8 or f8e4m3",
                 "; found ", c.input(kQ).to_string());
  ZT_RETURN_IF_ERROR(require_shape(c, kQ, "q", Shape{s.rows, s.row_bytes}));
  const Shape scales{s.rows, s.groups};
  ZT_RETURN_IF_ERROR(require_float(c, kScale, "scale"));
  ZT_RETURN_IF_ERROR(require_shape(c, kScale, "scale", scales));
  if (c.has(kOffset)) {
    ZT_RETURN_IF_ERROR(require_float(c, kOffset, "offset"));
    ZT_RETURN_IF_ERROR(require_shape(c, kOffset, "offset", scales));
  }
  ZT_RETURN_IF_ERROR(require_choice(c.attrs, "dtype", {"f32", "f16", "bf16"}));
  return one_output(dtype_attr(c.attrs), c.attrs.get_ints("dims"));
}

DType dequantize_dtype(std::span<const DType>, const Attrs& attrs) { return dtype_attr(attrs); }

double flops_dequantize(const OpContext&, std::span<const TensorType> out) {
  return 2 * static_cast<double>(out[0].shape.elements());
}

void reference_dequantize(const OpContext& c, RefInputs in, std::span<const TensorType>,
                          RefOutputs out) {
  const DequantizeShape s = *dequantize_shape(c.attrs);
  const bool offset = kOffset < in.size() && in[kOffset] != nullptr;
  for (int64_t row = 0; row < s.rows; ++row)
    for (int64_t i = 0; i < s.columns; ++i) {
      double q = in[kQ]->data[idx(row * s.row_bytes + (s.bits == 4 ? i / 2 : i))];
      if (s.bits == 4) {
        const auto byte = static_cast<int>(q);
        q = (i % 2 == 0 ? byte & 15 : byte >> 4) - (offset ? 0 : 8);
      }
      const size_t group = idx(row * s.groups + i / s.group);
      double& y = out[0][idx(row * s.columns + i)];
      y = q * in[kScale]->data[group];
      if (offset) y += in[kOffset]->data[group];
    }
}

}  // namespace
}  // namespace ops

// q, scale [R, G], [offset] [R, G] → y of the attribute `dims`, whose first is R and whose others
// are K together, row major; groups of `group` neighbours (0: all K; the last may be shorter) share
// a scale, G of them a row:
//   y[r, k] = q[r, k] · scale[r, k / group] + offset[r, k / group]
// `bits` 8: q is i8 or f8e4m3 [R, K]. `bits` 4: q is u8 [R, ⌈K/2⌉], element 2j in the low half of
// byte j and 2j + 1 in the high half; without offset 8 is taken from each first (−8 to 7), with one
// they are 0 to 15. Scales and offsets have any float dtype. Weights are stored so; f32 with one
// rounding after the product and one after the sum is within the tolerance.
const OpDef& dequantize_op() {
  static const OpDef def{
      .kind = OpKind::kDequantize,
      .name = "dequantize",
      .attrs = {{"dims", AttrType::kInts},
                {"bits", AttrType::kInt},
                {"group", AttrType::kInt, false, Dim(0)},
                {"dtype", AttrType::kString, false, std::string("f32")}},
      .min_inputs = 2,
      .max_inputs = 3,
      .infer = ops::infer_dequantize,
      .output_dtype = ops::dequantize_dtype,
      .flops = ops::flops_dequantize,
      .reference = ops::reference_dequantize,
      .tolerance = {1e-6, 1e-6},
  };
  return def;
}

}  // namespace zoetrope
