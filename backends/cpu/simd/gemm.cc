#include "backends/cpu/simd/parts.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backends/cpu/simd/gemm.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace zoetrope::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;
namespace {

using F32 = hn::ScalableTag<float>;
using V = hn::Vec<F32>;

struct Operands {
  const float *a, *b;
  const int64_t* offsets;
  float* c;
  int64_t lda, ldb, ldc, k, batch;
  bool accumulate;
};

// kRows rows of kVectors vectors (the last may be partial) in registers, where they stay only if
// loops over them are unrolled; over all of k and the batch.
template <int kRows, int kVectors>
HWY_INLINE void tile(const Operands& o, int64_t row, int64_t column, size_t last) {
  const F32 d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  V sum[kRows][kVectors];
  HWY_UNROLL(8)
  for (int r = 0; r < kRows; ++r) {
    HWY_UNROLL(8)
    for (int v = 0; v < kVectors; ++v) {
      const float* c = o.c + (row + r) * o.ldc + column + v * lanes;
      sum[r][v] = !o.accumulate      ? hn::Zero(d)
                  : v + 1 < kVectors ? hn::LoadU(d, c)
                                     : hn::LoadN(d, c, last);
    }
  }
  for (int64_t batch = 0; batch < o.batch; ++batch) {
    const float* a = o.a + o.offsets[2 * batch] / 4 + row * o.lda;
    const float* b = o.b + o.offsets[2 * batch + 1] / 4 + column;
    for (int64_t k = 0; k < o.k; ++k) {
      V vb[kVectors];
      HWY_UNROLL(8)
      for (int v = 0; v + 1 < kVectors; ++v) vb[v] = hn::LoadU(d, b + k * o.ldb + v * lanes);
      vb[kVectors - 1] = hn::LoadN(d, b + k * o.ldb + (kVectors - 1) * lanes, last);
      HWY_UNROLL(8)
      for (int r = 0; r < kRows; ++r) {
        const V va = hn::Set(d, a[r * o.lda + k]);
        HWY_UNROLL(8)
        for (int v = 0; v < kVectors; ++v) sum[r][v] = hn::MulAdd(va, vb[v], sum[r][v]);
      }
    }
  }
  HWY_UNROLL(8)
  for (int r = 0; r < kRows; ++r) {
    HWY_UNROLL(8)
    for (int v = 0; v < kVectors; ++v) {
      float* c = o.c + (row + r) * o.ldc + column + v * lanes;
      if (v + 1 < kVectors) {
        hn::StoreU(sum[r][v], d, c);
      } else {
        hn::StoreN(sum[r][v], d, c, last);
      }
    }
  }
}

template <int kVectors>
HWY_INLINE void columns(const Operands& o, int64_t m, int64_t column, size_t last) {
  int64_t row = 0;
  for (; row + 4 <= m; row += 4) tile<4, kVectors>(o, row, column, last);
  for (; row < m; ++row) tile<1, kVectors>(o, row, column, last);
}

void gemm_f32(const float* a, int64_t lda, const float* b, int64_t ldb, const int64_t* offsets,
              int64_t batch, float* c, int64_t ldc, int64_t m, int64_t n, int64_t k,
              bool accumulate) {
  const F32 d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const Operands o{a, b, offsets, c, lda, ldb, ldc, k, batch, accumulate};
  int64_t column = 0;
  for (; column + 2 * lanes <= n; column += 2 * lanes)
    columns<2>(o, m, column, static_cast<size_t>(lanes));
  if (column + lanes < n) {
    columns<2>(o, m, column, static_cast<size_t>(n - column - lanes));
  } else if (column < n) {
    columns<1>(o, m, column, static_cast<size_t>(n - column));
  }
}

}  // namespace

void fill_gemm(Simd* simd) { simd->gemm_f32 = gemm_f32; }

}  // namespace zoetrope::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace zoetrope::cpu {
HWY_EXPORT(fill_gemm);
void fill_gemm_for_chosen_target(Simd* simd) { HWY_DYNAMIC_DISPATCH(fill_gemm)(simd); }
}  // namespace zoetrope::cpu
#endif
