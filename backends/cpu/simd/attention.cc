#include "backends/cpu/simd/parts.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backends/cpu/simd/attention.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
//
#include "backends/cpu/simd/math-inl.h"

#include <cmath>
#include <limits>

HWY_BEFORE_NAMESPACE();
namespace zoetrope::cpu::HWY_NAMESPACE {
namespace {

// Largest of s[0, n) and whether any is NaN; n > 0.
HWY_INLINE float row_max(const float* s, int64_t n) {
  const F32 d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const V lowest = hn::Neg(hn::Inf(d));
  V m0 = lowest, m1 = lowest;
  int64_t i = 0;
  for (; i + 2 * lanes <= n; i += 2 * lanes) {
    m0 = hn::Max(m0, hn::LoadU(d, s + i));
    m1 = hn::Max(m1, hn::LoadU(d, s + i + lanes));
  }
  for (; i < n; i += lanes) {
    const auto left = static_cast<size_t>(n - i < lanes ? n - i : lanes);
    m0 = hn::Max(m0, hn::IfThenElse(hn::FirstN(d, left), hn::LoadN(d, s + i, left), lowest));
  }
  return hn::ReduceMax(d, hn::Max(m0, m1));
}

// s = 2^(s·scale − shift) over [0, n), zero up to `columns`; returns the sum.
HWY_INLINE float exponentiate(float* s, int64_t n, int64_t columns, float scale, float shift) {
  const F32 d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const V vs = hn::Set(d, scale), vm = hn::Set(d, shift);
  V sum0 = hn::Zero(d), sum1 = sum0;
  int64_t i = 0;
  for (; i + 2 * lanes <= n; i += 2 * lanes) {
    const V p0 = fast_exp2_negative(hn::MulSub(hn::LoadU(d, s + i), vs, vm));
    const V p1 = fast_exp2_negative(hn::MulSub(hn::LoadU(d, s + i + lanes), vs, vm));
    sum0 = hn::Add(sum0, p0);
    sum1 = hn::Add(sum1, p1);
    hn::StoreU(p0, d, s + i);
    hn::StoreU(p1, d, s + i + lanes);
  }
  for (; i < n; i += lanes) {
    const auto left = static_cast<size_t>(n - i < lanes ? n - i : lanes);
    const V p = hn::IfThenElseZero(
        hn::FirstN(d, left), fast_exp2_negative(hn::MulSub(hn::LoadN(d, s + i, left), vs, vm)));
    sum0 = hn::Add(sum0, p);
    hn::StoreN(p, d, s + i, left);
  }
  for (i = n; i < columns; ++i) s[i] = 0;
  return hn::ReduceSum(d, hn::Add(sum0, sum1));
}

void softmax_block(float* scores, int64_t ld, int64_t rows, int64_t columns, const int32_t* valid,
                   float scale, float* max, float* sum, float* correction) {
  const float lowest = -std::numeric_limits<float>::infinity();
  for (int64_t r = 0; r < rows; ++r) {
    float* s = scores + r * ld;
    const int64_t n = valid[r];
    const float block = n > 0 ? row_max(s, n) * scale : lowest;
    const float most = block > max[r] ? block : max[r];
    if (most == lowest) {  // nothing seen yet
      for (int64_t i = 0; i < columns; ++i) {
        s[i] = s[i] != s[i] && i < n ? s[i] : 0;
        sum[r] += s[i];  // NaN only
      }
      correction[r] = 1;
      continue;
    }
    correction[r] = max[r] == lowest ? 0 : max[r] == most ? 1 : std::exp2(max[r] - most);
    sum[r] = sum[r] * correction[r] + exponentiate(s, n, columns, scale, most);
    max[r] = most;
  }
}

}  // namespace

void fill_attention(Simd* simd) { simd->softmax_block = softmax_block; }

}  // namespace zoetrope::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace zoetrope::cpu {
HWY_EXPORT(fill_attention);
void fill_attention_for_chosen_target(Simd* simd) { HWY_DYNAMIC_DISPATCH(fill_attention)(simd); }
}  // namespace zoetrope::cpu
#endif
