#include "backends/cpu/simd/parts.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backends/cpu/simd/binary.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace zoetrope::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;
namespace {

using F32 = hn::ScalableTag<float>;
using V = hn::Vec<F32>;

template <class Op, bool kRowA, bool kRowB>
void loop(const float* a, const float* b, float* y, int64_t n) {
  const F32 d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const V a0 = hn::Set(d, a[0]);
  const V b0 = hn::Set(d, b[0]);
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes)
    hn::StoreU(Op::apply(kRowA ? hn::LoadU(d, a + i) : a0, kRowB ? hn::LoadU(d, b + i) : b0), d,
               y + i);
  if (i < n) {
    const auto left = static_cast<size_t>(n - i);
    hn::StoreN(
        Op::apply(kRowA ? hn::LoadN(d, a + i, left) : a0, kRowB ? hn::LoadN(d, b + i, left) : b0),
        d, y + i, left);
  }
}

template <class Op>
void binary_loop(const float* a, int a_step, const float* b, int b_step, float* y, int64_t n) {
  if (n <= 0) return;
  if (a_step != 0 && b_step != 0) return loop<Op, true, true>(a, b, y, n);
  if (a_step != 0) return loop<Op, true, false>(a, b, y, n);
  if (b_step != 0) return loop<Op, false, true>(a, b, y, n);
  loop<Op, false, false>(a, b, y, n);
}

// NaN where either is.
HWY_INLINE V spread_nan(V a, V b, V result) {
  return hn::IfThenElse(hn::Or(hn::IsNaN(a), hn::IsNaN(b)), hn::Add(a, b), result);
}

struct OpAdd {
  static HWY_INLINE V apply(V a, V b) { return hn::Add(a, b); }
};
struct OpSub {
  static HWY_INLINE V apply(V a, V b) { return hn::Sub(a, b); }
};
struct OpMul {
  static HWY_INLINE V apply(V a, V b) { return hn::Mul(a, b); }
};
struct OpDiv {
  static HWY_INLINE V apply(V a, V b) { return hn::Div(a, b); }
};
struct OpMin {
  static HWY_INLINE V apply(V a, V b) { return spread_nan(a, b, hn::Min(a, b)); }
};
struct OpMax {
  static HWY_INLINE V apply(V a, V b) { return spread_nan(a, b, hn::Max(a, b)); }
};

}  // namespace

void fill_binary(Simd* simd) {
  simd->binary[static_cast<int>(Binary::kAdd)] = binary_loop<OpAdd>;
  simd->binary[static_cast<int>(Binary::kSub)] = binary_loop<OpSub>;
  simd->binary[static_cast<int>(Binary::kMul)] = binary_loop<OpMul>;
  simd->binary[static_cast<int>(Binary::kDiv)] = binary_loop<OpDiv>;
  simd->binary[static_cast<int>(Binary::kMin)] = binary_loop<OpMin>;
  simd->binary[static_cast<int>(Binary::kMax)] = binary_loop<OpMax>;
}

}  // namespace zoetrope::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace zoetrope::cpu {
HWY_EXPORT(fill_binary);
void fill_binary_for_chosen_target(Simd* simd) { HWY_DYNAMIC_DISPATCH(fill_binary)(simd); }
}  // namespace zoetrope::cpu
#endif
