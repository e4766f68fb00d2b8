#include "backends/cpu/simd/parts.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backends/cpu/simd/attention.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
//
#include "backends/cpu/simd/math-inl.h"

#include <algorithm>
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

// Probabilities are stored over the scores, or rounded to bf16 elsewhere.
struct F32Store {
  float* s;
  HWY_INLINE void full(V p, int64_t i) const { hn::StoreU(p, F32(), s + i); }
  HWY_INLINE void part(V p, int64_t i, size_t count) const { hn::StoreN(p, F32(), s + i, count); }
  HWY_INLINE void zero(int64_t i) const { s[i] = 0; }
};
struct Bf16Store {
  uint16_t* half;
  // To nearest even; p is not negative, and NaN is told by the sum.
  static HWY_INLINE auto rounded(V p) {
    const hn::RebindToUnsigned<F32> du;
    const auto bits = hn::BitCast(du, p);
    const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(du, 1u));
    return hn::TruncateTo(hn::Rebind<uint16_t, F32>(),
                          hn::ShiftRight<16>(hn::Add(bits, hn::Add(odd, hn::Set(du, 0x7fffu)))));
  }
  HWY_INLINE void full(V p, int64_t i) const {
    hn::StoreU(rounded(p), hn::Rebind<uint16_t, F32>(), half + i);
  }
  HWY_INLINE void part(V p, int64_t i, size_t count) const {
    hn::StoreN(rounded(p), hn::Rebind<uint16_t, F32>(), half + i, count);
  }
  HWY_INLINE void zero(int64_t i) const { half[i] = 0; }
};

// p = 2^(s·scale − shift) over [0, n), zero up to `columns`; returns the sum.
template <class Store>
HWY_INLINE float exponentiate(const float* s, int64_t n, int64_t columns, float scale, float shift,
                              const Store& store) {
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
    store.full(p0, i);
    store.full(p1, i + lanes);
  }
  for (; i < n; i += lanes) {
    const auto left = static_cast<size_t>(n - i < lanes ? n - i : lanes);
    const V p = hn::IfThenElseZero(
        hn::FirstN(d, left), fast_exp2_negative(hn::MulSub(hn::LoadN(d, s + i, left), vs, vm)));
    sum0 = hn::Add(sum0, p);
    store.part(p, i, left);
  }
  for (i = n; i < columns; ++i) store.zero(i);
  return hn::ReduceSum(d, hn::Add(sum0, sum1));
}

void softmax_block(float* scores, uint16_t* half, int64_t ld, int64_t rows, int64_t columns,
                   const int32_t* valid, float scale, float* max, float* sum, float* correction) {
  const float lowest = -std::numeric_limits<float>::infinity();
  for (int64_t r = 0; r < rows; ++r) {
    float* s = scores + r * ld;
    const int64_t n = valid[r];
    const float block = n > 0 ? row_max(s, n) * scale : lowest;
    const float most = block > max[r] ? block : max[r];
    correction[r] = 1;
    if (most == lowest) {  // nothing seen yet
      for (int64_t i = 0; i < n; ++i)
        if (s[i] != s[i]) sum[r] = s[i];  // NaN
      for (int64_t i = 0; i < columns; ++i) s[i] = 0;
      if (half != nullptr) std::fill_n(half + r * ld, columns, uint16_t{0});
      continue;
    }
    if (max[r] != most) correction[r] = max[r] == lowest ? 0 : std::exp2(max[r] - most);
    const float total = half != nullptr
                            ? exponentiate(s, n, columns, scale, most, Bf16Store{half + r * ld})
                            : exponentiate(s, n, columns, scale, most, F32Store{s});
    sum[r] = sum[r] * correction[r] + total;
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
