// fill and iota: tensors made from attributes alone.
#include <cmath>

#include "graph/ops/common.h"

namespace zoetrope {
namespace ops {
namespace {

DType source_dtype(std::span<const DType>, const Attrs& attrs) { return dtype_attr(attrs); }

Result<Types> infer_fill(const OpContext& c) {
  ZT_ASSIGN_OR_RETURN(const DType dtype, checked_dtype_attr(c.attrs));
  return one_output(dtype, c.attrs.get_ints("dims"));
}

void reference_fill(const OpContext& c, RefInputs, std::span<const TensorType>, RefOutputs out) {
  std::fill(out[0].begin(), out[0].end(), c.attrs.get_float("value"));
}

Result<Types> infer_iota(const OpContext& c) {
  ZT_ASSIGN_OR_RETURN(const DType dtype, checked_dtype_attr(c.attrs));
  if (dtype == DType::kBool)
    return error(Code::kInvalidArgument, "dtype must be numeric; found bool");
  const int64_t length = c.attrs.get_int("length");
  return one_output(dtype, std::span(&length, 1));
}

void reference_iota(const OpContext& c, RefInputs, std::span<const TensorType>, RefOutputs out) {
  const double start = c.attrs.get_float("start"), step = c.attrs.get_float("step");
  for (size_t i = 0; i < out[0].size(); ++i) out[0][i] = start + static_cast<double>(i) * step;
}

}  // namespace
}  // namespace ops

// Every element is `value`.
const OpDef& fill_op() {
  static const OpDef def{
      .kind = OpKind::kFill,
      .name = "fill",
      .attrs = {{"dims", AttrType::kInts},
                {"value", AttrType::kFloat},
                {"dtype", AttrType::kString, false, std::string("f32")}},
      .min_inputs = 0,
      .max_inputs = 0,
      .infer = ops::infer_fill,
      .output_dtype = ops::source_dtype,
      .reference = ops::reference_fill,
      .tolerance = {0, 1e-7},
  };
  return def;
}

// out[i] = start + i·step, i < length.
const OpDef& iota_op() {
  static const OpDef def{
      .kind = OpKind::kIota,
      .name = "iota",
      .attrs = {{"length", AttrType::kInt},
                {"start", AttrType::kFloat, false, 0.0},
                {"step", AttrType::kFloat, false, 1.0},
                {"dtype", AttrType::kString, false, std::string("f32")}},
      .min_inputs = 0,
      .max_inputs = 0,
      .infer = ops::infer_iota,
      .output_dtype = ops::source_dtype,
      .reference = ops::reference_iota,
      .tolerance = {1e-6, 1e-6},
  };
  return def;
}

}  // namespace zoetrope
