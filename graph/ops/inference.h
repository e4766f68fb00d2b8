// Inference and cost that core ops share with the fused ops made from them.
#pragma once

#include "graph/ops/common.h"

namespace zoetrope::ops {

Result<Types> infer_matmul(const OpContext& c);
double flops_matmul(const OpContext& c, std::span<const TensorType> out);

// The dtype attribute, i8 or f8e4m3.
Result<DType> quantized_dtype(const Attrs& attrs);

// x [B, N, H, D] with D even; cos and sin (inputs 1 and 2) [B or 1, N, 1 or H, D/2].
Result<Types> infer_rope(const OpContext& c);

}  // namespace zoetrope::ops
