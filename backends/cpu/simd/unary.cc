#include "backends/cpu/simd/parts.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backends/cpu/simd/unary.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
//
#include "backends/cpu/simd/math-inl.h"
#include "hwy/contrib/math/math-inl.h"

#include <cmath>

HWY_BEFORE_NAMESPACE();
namespace zoetrope::cpu::HWY_NAMESPACE {
namespace {

template <class Op>
void unary_loop(const float* x, float* y, int64_t n) {
  const F32 d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) hn::StoreU(Op::apply(hn::LoadU(d, x + i)), d, y + i);
  if (i < n) {
    const auto left = static_cast<size_t>(n - i);
    hn::StoreN(Op::apply(hn::LoadN(d, x + i, left)), d, y + i, left);
  }
}

// The library's sine and cosine hold up to |x| = 39000; larger rows take the C library's.
template <class Op>
void trigonometric_loop(const float* x, float* y, int64_t n) {
  const F32 d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  for (int64_t i = 0; i < n; i += lanes) {
    const auto left = static_cast<size_t>(n - i < lanes ? n - i : lanes);
    const V v = hn::LoadN(d, x + i, left);
    if (HWY_LIKELY(hn::AllTrue(d, hn::Lt(hn::Abs(v), hn::Set(d, 30000.0f))))) {
      hn::StoreN(Op::apply(v), d, y + i, left);
    } else {
      for (size_t j = 0; j < left; ++j)
        y[i + static_cast<int64_t>(j)] = Op::exact(x[i + static_cast<int64_t>(j)]);
    }
  }
}

struct OpNeg {
  static HWY_INLINE V apply(V x) { return hn::Neg(x); }
};
struct OpAbs {
  static HWY_INLINE V apply(V x) { return hn::Abs(x); }
};
struct OpExp {
  static HWY_INLINE V apply(V x) { return fast_exp(x); }
};
struct OpSqrt {
  static HWY_INLINE V apply(V x) { return hn::Sqrt(x); }
};
struct OpRsqrt {
  static HWY_INLINE V apply(V x) { return hn::Div(hn::Set(F32(), 1.0f), hn::Sqrt(x)); }
};
struct OpSigmoid {
  static HWY_INLINE V apply(V x) { return sigmoid(x); }
};
struct OpSilu {
  static HWY_INLINE V apply(V x) { return silu(x); }
};
struct OpGeluTanh {
  static HWY_INLINE V apply(V x) { return gelu_tanh(x); }
};
struct OpGelu {
  static HWY_INLINE V apply(V x) { return gelu(x); }
};
struct OpFloor {
  static HWY_INLINE V apply(V x) { return hn::Floor(x); }
};
struct OpRelu {
  static HWY_INLINE V apply(V x) { return hn::IfThenZeroElse(hn::Lt(x, hn::Zero(F32())), x); }
};
struct OpLog {
  static HWY_INLINE V apply(V x) {
    const F32 d;
    V y = hn::Log(d, x);
    y = hn::IfThenElse(hn::Eq(x, hn::Zero(d)), hn::Neg(hn::Inf(d)), y);
    y = hn::IfThenElse(hn::Eq(x, hn::Inf(d)), x, y);
    return hn::IfThenElse(hn::Or(hn::Lt(x, hn::Zero(d)), hn::IsNaN(x)), hn::NaN(d), y);
  }
};
struct OpTanh {
  static HWY_INLINE V apply(V x) {
    const F32 d;
    const V y = hn::Tanh(d, hn::Max(hn::Min(x, hn::Set(d, 20.0f)), hn::Set(d, -20.0f)));
    return hn::IfThenElse(hn::IsNaN(x), x, y);
  }
};
struct OpSin {
  static HWY_INLINE V apply(V x) { return hn::Sin(F32(), x); }
  static float exact(float x) { return static_cast<float>(std::sin(static_cast<double>(x))); }
};
struct OpCos {
  static HWY_INLINE V apply(V x) { return hn::Cos(F32(), x); }
  static float exact(float x) { return static_cast<float>(std::cos(static_cast<double>(x))); }
};

void fill(Simd* simd) {
  const auto set = [simd](Unary fn, void (*loop)(const float*, float*, int64_t)) {
    simd->unary[static_cast<int>(fn)] = loop;
  };
  set(Unary::kNeg, unary_loop<OpNeg>);
  set(Unary::kAbs, unary_loop<OpAbs>);
  set(Unary::kExp, unary_loop<OpExp>);
  set(Unary::kLog, unary_loop<OpLog>);
  set(Unary::kSqrt, unary_loop<OpSqrt>);
  set(Unary::kRsqrt, unary_loop<OpRsqrt>);
  set(Unary::kSin, trigonometric_loop<OpSin>);
  set(Unary::kCos, trigonometric_loop<OpCos>);
  set(Unary::kTanh, unary_loop<OpTanh>);
  set(Unary::kSigmoid, unary_loop<OpSigmoid>);
  set(Unary::kSilu, unary_loop<OpSilu>);
  set(Unary::kGeluTanh, unary_loop<OpGeluTanh>);
  set(Unary::kGelu, unary_loop<OpGelu>);
  set(Unary::kRelu, unary_loop<OpRelu>);
  set(Unary::kFloor, unary_loop<OpFloor>);
}

}  // namespace

void fill_unary(Simd* simd) { fill(simd); }

}  // namespace zoetrope::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace zoetrope::cpu {
HWY_EXPORT(fill_unary);
void fill_unary_for_chosen_target(Simd* simd) { HWY_DYNAMIC_DISPATCH(fill_unary)(simd); }
}  // namespace zoetrope::cpu
#endif
