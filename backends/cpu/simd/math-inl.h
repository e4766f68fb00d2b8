// Vector maths shared by the loops, compiled once a target. Coefficients were fitted for this file
// (Chebyshev nodes, f64); the stated errors are relative, over the whole range.
#if defined(ZT_CPU_MATH_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef ZT_CPU_MATH_INL_H
#undef ZT_CPU_MATH_INL_H
#else
#define ZT_CPU_MATH_INL_H
#endif

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace zoetrope::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using F32 = hn::ScalableTag<float>;
using V = hn::Vec<F32>;

// In integers: the bf16 instructions flush denormals and differ between processors.
HWY_INLINE auto round_to_bf16(V x) {
  const hn::RebindToUnsigned<F32> di;
  const hn::Rebind<uint16_t, F32> du;
  const auto bits = hn::BitCast(di, x);
  const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(di, 1u));
  const auto rounded = hn::Add(bits, hn::Add(odd, hn::Set(di, 0x7fffu)));
  const auto quiet = hn::Or(bits, hn::Set(di, 0x400000u));
  const auto is_nan = hn::RebindMask(di, hn::IsNaN(x));
  return hn::TruncateTo(du, hn::ShiftRight<16>(hn::IfThenElse(is_nan, quiet, rounded)));
}

// 2^n for integral n in [−126, 127].
HWY_INLINE V exp2_integer(V n) {
  const F32 d;
  const hn::RebindToSigned<F32> di;
  return hn::BitCast(d, hn::ShiftLeft<23>(hn::Add(hn::ConvertInRangeTo(di, n), hn::Set(di, 127))));
}

// e^x, 1e-7; 0 below −87.3, infinity above 88.7, NaN stays.
HWY_INLINE V fast_exp(V x) {
  const F32 d;
  V n = hn::Round(hn::Mul(x, hn::Set(d, 1.44269504f)));
  V r = hn::NegMulAdd(n, hn::Set(d, 0.693145752f), x);
  r = hn::NegMulAdd(n, hn::Set(d, 1.42860677e-6f), r);
  V p = hn::Set(d, 0.0013751382f);
  p = hn::MulAdd(p, r, hn::Set(d, 0.0083689234f));
  p = hn::MulAdd(p, r, hn::Set(d, 0.0416695342f));
  p = hn::MulAdd(p, r, hn::Set(d, 0.1666651842f));
  p = hn::MulAdd(p, r, hn::Set(d, 0.4999998859f));
  p = hn::MulAdd(p, r, hn::Set(d, 1.0f));
  p = hn::MulAdd(p, r, hn::Set(d, 1.0f));
  // Two factors, so that neither is infinite or denormal.
  n = hn::Max(hn::Min(n, hn::Set(d, 129.0f)), hn::Set(d, -127.0f));
  const V half = hn::Floor(hn::Mul(n, hn::Set(d, 0.5f)));
  p = hn::Mul(hn::Mul(p, exp2_integer(half)), exp2_integer(hn::Sub(n, half)));
  p = hn::IfThenElse(hn::Gt(x, hn::Set(d, 88.7228f)), hn::Inf(d), p);
  return hn::IfThenZeroElse(hn::Lt(x, hn::Set(d, -87.3f)), p);
}

// 2^x for x ≤ 0, 1e-7; at most 2^-125 below −126, NaN stays. For softmax, where the largest is 2^0.
HWY_INLINE V fast_exp2_negative(V x) {
  const F32 d;
  const hn::RebindToSigned<F32> di;
  // On x86 the second operand of max survives where one is NaN.
  x = hn::Max(hn::Set(d, -126.0f), x);
  const V n = hn::Round(x);
  const V r = hn::Sub(x, n);
  V p = hn::Set(d, 0.00132186501f);
  p = hn::MulAdd(p, r, hn::Set(d, 0.00967170857f));
  p = hn::MulAdd(p, r, hn::Set(d, 0.0555089302f));
  p = hn::MulAdd(p, r, hn::Set(d, 0.24022238f));
  p = hn::MulAdd(p, r, hn::Set(d, 0.693146884f));
  p = hn::MulAdd(p, r, hn::Set(d, 1.0f));
  // p lies in [0.7, 1.42]: its exponent has room for n.
  return hn::BitCast(d,
                     hn::Add(hn::BitCast(di, p), hn::ShiftLeft<23>(hn::ConvertInRangeTo(di, n))));
}

HWY_INLINE V sigmoid(V x) {
  const F32 d;
  const V one = hn::Set(d, 1.0f);
  return hn::Div(one, hn::Add(one, fast_exp(hn::Neg(x))));
}

HWY_INLINE V silu(V x) {
  const F32 d;
  return hn::Div(x, hn::Add(hn::Set(d, 1.0f), fast_exp(hn::Neg(x))));
}

// x·sigmoid(2u) = x/2·(1 + tanh(u)), u = sqrt(2/π)·(x + 0.044715·x³).
HWY_INLINE V gelu_tanh(V x) {
  const F32 d;
  const V x2 = hn::Mul(x, x);
  const V inner =
      hn::MulAdd(x2, hn::Set(d, 2 * 0.7978845608f * 0.044715f), hn::Set(d, 2 * 0.7978845608f));
  return hn::Div(x, hn::Add(hn::Set(d, 1.0f), fast_exp(hn::Neg(hn::Mul(x, inner)))));
}

// x·Φ(x). erfc(z) = t·exp(P(t) − z²), t = 1/(1 + z/2), 7e-8 for z in [0, 14].
HWY_INLINE V gelu(V x) {
  const F32 d;
  const V z = hn::Mul(hn::Abs(x), hn::Set(d, 0.7071067812f));
  const V t = hn::Div(hn::Set(d, 1.0f), hn::MulAdd(z, hn::Set(d, 0.5f), hn::Set(d, 1.0f)));
  V p = hn::Set(d, 0.165509894f);
  p = hn::MulAdd(p, t, hn::Set(d, -0.791463077f));
  p = hn::MulAdd(p, t, hn::Set(d, 1.41320312f));
  p = hn::MulAdd(p, t, hn::Set(d, -1.03165746f));
  p = hn::MulAdd(p, t, hn::Set(d, 0.191462293f));
  p = hn::MulAdd(p, t, hn::Set(d, -0.139631480f));
  p = hn::MulAdd(p, t, hn::Set(d, 0.0811646059f));
  p = hn::MulAdd(p, t, hn::Set(d, 0.377223402f));
  p = hn::MulAdd(p, t, hn::Set(d, 0.99968636f));
  p = hn::MulAdd(p, t, hn::Set(d, -1.26549757f));
  const V half_erfc = hn::Mul(hn::Mul(hn::Set(d, 0.5f), t), fast_exp(hn::NegMulAdd(z, z, p)));
  const V tail = hn::Mul(x, half_erfc);  // x·Φ(−|x|)
  // Φ(x) = 1 − Φ(−x) for positive x.
  const V result = hn::IfThenElse(hn::Gt(x, hn::Zero(d)), hn::Sub(x, tail), tail);
  // −inf·0 is defined as 0 here, its limit.
  return hn::IfThenZeroElse(hn::Lt(x, hn::Set(d, -14.0f)), result);
}

}  // namespace zoetrope::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target guard
