// quantize_rows: what quantized_matmul reads. Symmetric, one factor a row ("per token").
#include <algorithm>
#include <cmath>
#include <limits>

#include "graph/ops/common.h"
#include "graph/ops/inference.h"
#include "graph/rotation.h"

namespace zoetrope {
namespace ops {

Result<DType> quantized_dtype(const Attrs& attrs) {
  ZT_RETURN_IF_ERROR(require_choice(attrs, "dtype", {"i8", "f8e4m3"}));
  return dtype_attr(attrs);
}

namespace {

Result<Types> infer_quantize_rows(const OpContext& c) {
  ZT_RETURN_IF_ERROR(require_inputs(c, 1));
  ZT_RETURN_IF_ERROR(require_float(c, 0, "x"));
  ZT_RETURN_IF_ERROR(require_rank(c, 0, "x", 1, kMaxRank));
  ZT_ASSIGN_OR_RETURN(const DType dtype, quantized_dtype(c.attrs));
  const Shape& shape = c.input(0).shape;
  const int64_t rotation = c.attrs.get_int("rotation");
  if (rotation != 0 && rotation != kRotation)
    return error(Code::kInvalidArgument, "rotation ", rotation, ": expected 0 or ", kRotation);
  if (rotation != 0 && shape[-1] % rotation != 0)
    return error(Code::kInvalidArgument, "rows of ", shape[-1], " cannot be turned in blocks of ",
                 rotation);
  Shape scale = shape;
  scale[-1] = 1;
  // A row of nothing has a factor all the same: the product of the others may be beyond the limit.
  ZT_RETURN_IF_ERROR(checked_elements(scale.dims()).status());
  return Types{TensorType{dtype, shape}, TensorType{DType::kF32, scale}};
}

DType quantize_rows_dtype(std::span<const DType>, const Attrs& attrs) { return dtype_attr(attrs); }

double flops_quantize_rows(const OpContext&, std::span<const TensorType> out) {
  return 4 * static_cast<double>(out[0].shape.elements());
}

void reference_quantize_rows(const OpContext& c, RefInputs in, std::span<const TensorType> types,
                             RefOutputs out) {
  const int64_t width = in[0]->shape[-1];
  const bool integer = dtype_attr(c.attrs) == DType::kI8;
  const bool rotates = c.attrs.get_int("rotation") != 0;
  const float largest = integer ? 127.0f : 448.0f;
  std::vector<float> x(idx(width));
  for (int64_t row = 0; row < types[1].shape.elements(); ++row) {
    for (int64_t i = 0; i < width; ++i)
      x[idx(i)] = static_cast<float>(in[0]->data[idx(row * width + i)]);
    if (rotates) rotate_row(x.data(), width);
    if (!std::all_of(x.begin(), x.end(), [](float v) { return std::isfinite(v); })) {
      out[1][idx(row)] = std::numeric_limits<double>::quiet_NaN();
      std::fill_n(out[0].begin() + row * width, width, 0.0);
      continue;
    }
    float most = 0;
    for (const float v : x) most = std::fmax(most, std::fabs(v));
    const bool nothing = most < 0x1p-100f;
    out[1][idx(row)] = nothing ? 0 : most / largest;
    const float factor = nothing ? 0 : largest / most;
    for (int64_t i = 0; i < width; ++i) {
      const float y = x[idx(i)] * factor;
      // To f8e4m3 the store rounds, and saturates.
      const float whole = std::fmin(std::fmax(std::nearbyint(y), -127.0f), 127.0f);
      out[0][idx(row * width + i)] = integer ? whole : y;
    }
  }
}

}  // namespace
}  // namespace ops

// x [..., K] of any float dtype → q [..., K] of attribute `dtype` and scale f32 [..., 1], so that
// x ≈ q · scale. With L = 127 for i8 and 448 for f8e4m3, m = max |x| of the row and every operation
// in f32, rounded to nearest even:
//   scale = m / L,  q = round(x · (L / m)), saturated at ±L
// A row with m < 2^-100 (zeros, mostly) has scale 0 and q 0, so that neither quotient is subnormal
// or infinite. A row with NaN or infinity in it, once turned, has scale NaN and q 0: what is made
// of it is NaN, and is noticed. Each operation is exact or rounded once, so that every backend
// gives these bits: no tolerance. A backend whose division is approximate must correct it. With
// `rotation` 8 (K a multiple of it) x is first turned, by graph/rotation.h; what b of the product
// holds is turned likewise and divided by 8, so that products are as without.
const OpDef& quantize_rows_op() {
  static const OpDef def{
      .kind = OpKind::kQuantizeRows,
      .name = "quantize_rows",
      .attrs = {{"dtype", AttrType::kString}, {"rotation", AttrType::kInt, false, Dim(0)}},
      .infer = ops::infer_quantize_rows,
      .output_dtype = ops::quantize_rows_dtype,
      .output_count = 2,
      .flops = ops::flops_quantize_rows,
      .reference = ops::reference_quantize_rows,
      .tolerance = {0, 0},
  };
  return def;
}

}  // namespace zoetrope
