// Norms over the last axis, with what stands before and after them.
#pragma once

#include "backends/cuda/kernels/rows.h"

namespace zoetrope::cuda {

// y = norm(v)·weight + bias, then ·(1 + scale) + shift; v = x, or x + gate·residual, which is also
// stored. Statistics in f32.
struct RowNormParams {
  const void* x = nullptr;  // [rows, width] of `dtype`, as are residual, sum and y
  void* y = nullptr;
  DType dtype = DType::kF32;
  int64_t rows = 0, width = 0;
  bool rms = false;
  float epsilon = 0;
  SideParams weight, bias, scale, shift;
  RowBroadcast modulation;  // scale, shift
  const void* residual = nullptr;
  void* sum = nullptr;
  SideParams gate;
  RowBroadcast gating;  // gate alone
};
cudaError_t row_norm(const RowNormParams& p, cudaStream_t stream);

// What kernels that keep rows in registers ask of the sides, bound or not.
struct NormSides {
  DType dtype;        // of scale and shift; the rows' where there is neither
  bool alike = true;  // these have one dtype, and they and the gate move along the row

  explicit NormSides(const RowNormParams& p) : dtype(p.dtype) {
    bool any = false;
    for (const SideParams& one : {p.scale, p.shift}) {
      if (!one.given) continue;
      alike = alike && (!any || one.dtype == dtype);
      dtype = one.dtype;
      any = true;
    }
    const auto along = [](const SideParams& one, bool moves) { return !one.given || moves; };
    alike = alike && along(p.scale, p.modulation.moves[0]) &&
            along(p.shift, p.modulation.moves[1]) && along(p.gate, p.gating.moves[0]);
  }
};

// y as 8-bit numbers and a factor a row (see quantize.h); `y` is not used. Of rows that
// norm_quantizes() accepts.
struct NormQuantizeParams {
  RowNormParams norm;
  void* q = nullptr;        // [rows, width]
  float* scales = nullptr;  // [rows]
  DType out = DType::kI8;
};
// Rows of whole chunks that stay in registers, and sides alike: of f32 or the rows' dtype.
bool norm_quantizes(const RowNormParams& p);
cudaError_t norm_quantize(const NormQuantizeParams& p, cudaStream_t stream);

}  // namespace zoetrope::cuda
