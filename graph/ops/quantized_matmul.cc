// quantized_matmul: matrix products of 8-bit numbers with a factor for each row of a (a token) and
// of b (an output channel).
#include "graph/ops/contraction.h"
#include "graph/ops/inference.h"

namespace zoetrope {
namespace ops {
namespace {

enum Input : size_t { kA, kAScale, kB, kBScale, kBias };

// |a·b| ≤ 2^14: so many of them stay below 2^31.
constexpr int64_t kMostDepthI8 = (int64_t{1} << 17) - 1;

Result<Types> infer_quantized_matmul(const OpContext& c) {
  ZT_RETURN_IF_ERROR(require_inputs(c, 4));
  ZT_RETURN_IF_ERROR(require_rank(c, kA, "a", 2, kMaxRank));
  ZT_RETURN_IF_ERROR(require_rank(c, kB, "b", 2, 2));
  const TensorType &a = c.input(kA), &b = c.input(kB);
  if (a.dtype != DType::kI8 && a.dtype != DType::kF8E4M3)
    return error(Code::kInvalidArgument, "a must be i8 or f8e4m3; found ", a.to_string());
  ZT_RETURN_IF_ERROR(require_same_dtype(c, kB, "b", a.dtype));
  ZT_RETURN_IF_ERROR(require_same_dtype(c, kAScale, "a_scale", DType::kF32));
  ZT_RETURN_IF_ERROR(require_same_dtype(c, kBScale, "b_scale", DType::kF32));
  if (a.shape[-1] != b.shape[-1])
    return error(Code::kInvalidArgument, "a ", a.to_string(), " has ", a.shape[-1],
                 " columns but b ", b.to_string(), " (transposed) has ", b.shape[-1], " rows");
  if (a.dtype == DType::kI8 && a.shape[-1] > kMostDepthI8)
    return error(Code::kInvalidArgument, "a ", a.to_string(), " has ", a.shape[-1],
                 " columns; sums of i8 products are exact up to ", kMostDepthI8);
  Shape scales = a.shape, y = a.shape;
  scales[-1] = 1;
  ZT_RETURN_IF_ERROR(require_shape(c, kAScale, "a_scale", scales));
  const int64_t n = b.shape[0];
  ZT_RETURN_IF_ERROR(require_shape(c, kBScale, "b_scale", Shape{n}));
  ZT_RETURN_IF_ERROR(require_vector_or_absent(c, kBias, "bias", n));
  ZT_RETURN_IF_ERROR(require_choice(c.attrs, "dtype", {"f32", "f16", "bf16"}));
  y[-1] = n;
  return one_output(dtype_attr(c.attrs), y);
}

DType quantized_matmul_dtype(std::span<const DType>, const Attrs& attrs) {
  return dtype_attr(attrs);
}

void reference_quantized_matmul(const OpContext&, RefInputs in, std::span<const TensorType>,
                                RefOutputs out) {
  const int64_t k = in[kA]->shape[-1], n = in[kB]->shape[0];
  const auto rows = static_cast<int64_t>(in[kAScale]->data.size());
  std::vector<double> b(idx(k * n));
  transpose_to(n, k, in[kB]->data.data(), k, b.data());
  std::fill(out[0].begin(), out[0].end(), 0.0);
  multiply_add(rows, k, n, in[kA]->data.data(), b.data(), out[0].data());
  const bool biased = kBias < in.size() && in[kBias] != nullptr;
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < n; ++j) {
      double& y = out[0][idx(i * n + j)];
      y *= in[kAScale]->data[idx(i)] * in[kBScale]->data[idx(j)];
      if (biased) y += in[kBias]->data[idx(j)];
    }
}

}  // namespace
}  // namespace ops

// a [..., M, K] and b [N, K], both i8 or both f8e4m3; a_scale f32 [..., M, 1] (quantize_rows gives
// it), b_scale f32 [N]; [bias] [N] of any float dtype → y [..., M, N] of attribute `dtype`:
//   y[m, n] = (Σ_k a[m, k] · b[n, k]) · a_scale[m] · b_scale[n] + bias[n]
// Sums of i8 are exact (i32; K is bounded for it), those of f8e4m3 are f32. The rest is f32,
// rounded once at the end: what is left to tolerate are the few roundings of matmul's sums and of
// the factors, relative to outputs of order 1.
const OpDef& quantized_matmul_op() {
  static const OpDef def{
      .kind = OpKind::kQuantizedMatmul,
      .name = "quantized_matmul",
      .attrs = {{"dtype", AttrType::kString, false, std::string("f32")}},
      .min_inputs = 4,
      .max_inputs = 5,
      .infer = ops::infer_quantized_matmul,
      .output_dtype = ops::quantized_matmul_dtype,
      .flops = ops::flops_matmul,
      .reference = ops::reference_quantized_matmul,
      .tolerance = {1e-5, 1e-5},
  };
  return def;
}

}  // namespace zoetrope
