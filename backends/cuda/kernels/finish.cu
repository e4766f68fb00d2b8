#include "backends/cuda/kernels/finish.h"

#include "backends/cuda/kernels/matmul.cuh"

namespace zoetrope::cuda {
namespace {

constexpr int kThreads = 256, kPer = 4;

// A thread takes kPer neighbours of a row.
template <typename Sum, typename Out>
__global__ void __launch_bounds__(kThreads)
    finish_kernel(const __grid_constant__ FinishParams p, int64_t per_row) {
  const int64_t id = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  const int64_t row = id / per_row, column = id % per_row * kPer;
  if (row >= p.rows) return;
  const Sum* from = static_cast<const Sum*>(p.sums) + row * p.n + column;
  Out* to = static_cast<Out*>(p.out) + row * p.n + column;
  const float row_scale = p.row_scales != nullptr ? p.row_scales[row] : 1.f;
  const auto one = [&](int i, Sum sum) {
    float x = static_cast<float>(sum);
    if (p.column_scales != nullptr) x *= row_scale * p.column_scales[column + i];
    if (p.bias != nullptr) x += load_element_f32(p.bias, p.bias_dtype, column + i);
    return from_float<Out>(activate(p.activation, x));
  };
  if (p.n % kPer == 0) {
    const int4 raw = *reinterpret_cast<const int4*>(from);
    const Sum* s = reinterpret_cast<const Sum*>(&raw);
    struct alignas(sizeof(Out) * kPer) {
      Out e[kPer];
    } packed;
#pragma unroll
    for (int i = 0; i < kPer; ++i) packed.e[i] = one(i, s[i]);
    *reinterpret_cast<decltype(packed)*>(to) = packed;
  } else {
    for (int i = 0; i < kPer && column + i < p.n; ++i) to[i] = one(i, from[i]);
  }
}

template <typename Sum>
cudaError_t launch(const FinishParams& p, cudaStream_t stream) {
  return with_compute_type(p.dtype, [&](auto out) {
    const int64_t per_row = (p.n + kPer - 1) / kPer;
    const int64_t blocks = (p.rows * per_row + kThreads - 1) / kThreads;
    if (blocks > INT32_MAX) return cudaErrorInvalidValue;
    finish_kernel<Sum, decltype(out)>
        <<<static_cast<unsigned>(blocks), kThreads, 0, stream>>>(p, per_row);
    return cudaGetLastError();
  });
}

}  // namespace

cudaError_t finish_sums(const FinishParams& p, cudaStream_t stream) {
  if (p.rows * p.n == 0) return cudaSuccess;
  return p.sums_dtype == DType::kI32 ? launch<int>(p, stream) : launch<float>(p, stream);
}

}  // namespace zoetrope::cuda
