#include "backends/cpu/simd/parts.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backends/cpu/simd/rows.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
//
#include "backends/cpu/simd/math-inl.h"

#include <cmath>
#include <limits>

HWY_BEFORE_NAMESPACE();
namespace zoetrope::cpu::HWY_NAMESPACE {
namespace {

// Four running sums, added in a fixed order.
template <class Term>
HWY_INLINE float sum_loop(const float* x, int64_t n, const Term& term) {
  const F32 d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  V s0 = hn::Zero(d), s1 = s0, s2 = s0, s3 = s0;
  int64_t i = 0;
  for (; i + 4 * lanes <= n; i += 4 * lanes) {
    s0 = term.add(s0, hn::LoadU(d, x + i));
    s1 = term.add(s1, hn::LoadU(d, x + i + lanes));
    s2 = term.add(s2, hn::LoadU(d, x + i + 2 * lanes));
    s3 = term.add(s3, hn::LoadU(d, x + i + 3 * lanes));
  }
  for (; i + lanes <= n; i += lanes) s0 = term.add(s0, hn::LoadU(d, x + i));
  if (i < n) {
    const auto left = static_cast<size_t>(n - i);
    const V v = hn::LoadN(d, x + i, left);
    s1 = hn::IfThenElse(hn::FirstN(d, left), term.add(s1, v), s1);
  }
  return hn::ReduceSum(d, hn::Add(hn::Add(s0, s1), hn::Add(s2, s3)));
}

struct Plain {
  HWY_INLINE V add(V sum, V x) const { return hn::Add(sum, x); }
};
struct Square {
  HWY_INLINE V add(V sum, V x) const { return hn::MulAdd(x, x, sum); }
};
float sum(const float* x, int64_t n) { return sum_loop(x, n, Plain()); }
float sum_squares(const float* x, int64_t n) { return sum_loop(x, n, Square()); }
// Each in the order of sum_loop().
void sum_distances(const float* x, float center, int64_t n, float* sum, float* squares) {
  const F32 d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const V middle = hn::Set(d, center);
  V s[4], q[4];
  for (int k = 0; k < 4; ++k) s[k] = q[k] = hn::Zero(d);
  const auto add = [&](int k, V v) HWY_ATTR {
    const V delta = hn::Sub(v, middle);
    s[k] = hn::Add(s[k], delta);
    q[k] = hn::MulAdd(delta, delta, q[k]);
  };
  int64_t i = 0;
  for (; i + 4 * lanes <= n; i += 4 * lanes) {
    add(0, hn::LoadU(d, x + i));
    add(1, hn::LoadU(d, x + i + lanes));
    add(2, hn::LoadU(d, x + i + 2 * lanes));
    add(3, hn::LoadU(d, x + i + 3 * lanes));
  }
  for (; i + lanes <= n; i += lanes) add(0, hn::LoadU(d, x + i));
  if (i < n) {
    const auto left = static_cast<size_t>(n - i);
    const V s1 = s[1], q1 = q[1];
    add(1, hn::LoadN(d, x + i, left));
    s[1] = hn::IfThenElse(hn::FirstN(d, left), s[1], s1);
    q[1] = hn::IfThenElse(hn::FirstN(d, left), q[1], q1);
  }
  *sum = hn::ReduceSum(d, hn::Add(hn::Add(s[0], s[1]), hn::Add(s[2], s[3])));
  *squares = hn::ReduceSum(d, hn::Add(hn::Add(q[0], q[1]), hn::Add(q[2], q[3])));
}

float max(const float* x, int64_t n) {
  const F32 d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  V best = hn::Neg(hn::Inf(d));
  auto nan = hn::MaskFalse(d);
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const V v = hn::LoadU(d, x + i);
    nan = hn::Or(nan, hn::IsNaN(v));
    best = hn::Max(best, v);
  }
  float result = hn::ReduceMax(d, best);
  bool any_nan = !hn::AllFalse(d, nan);
  for (; i < n; ++i) {
    any_nan |= std::isnan(x[i]);
    result = x[i] > result ? x[i] : result;
  }
  return any_nan ? std::numeric_limits<float>::quiet_NaN() : result;
}

// Runs body.apply(i, count) over full vectors, then the rest.
template <class Body>
HWY_INLINE void for_each_vector(int64_t n, const Body& body) {
  const F32 d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) body.apply(i, static_cast<size_t>(lanes));
  if (i < n) body.apply(i, static_cast<size_t>(n - i));
}

HWY_INLINE V load(const float* x, size_t count) {
  const F32 d;
  return HWY_LIKELY(count == hn::Lanes(d)) ? hn::LoadU(d, x) : hn::LoadN(d, x, count);
}
HWY_INLINE void store(V v, float* y, size_t count) {
  const F32 d;
  if (HWY_LIKELY(count == hn::Lanes(d))) {
    hn::StoreU(v, d, y);
  } else {
    hn::StoreN(v, d, y, count);
  }
}

template <bool kWeight, bool kBias, bool kGain>
struct Normalize {
  const float *x, *weight, *bias;
  float* y;
  RowStatistics s;
  HWY_INLINE V value(int64_t i, size_t count) const {
    const F32 d;
    V v = hn::Sub(hn::Sub(load(x + i, count), hn::Set(d, s.shift)), hn::Set(d, s.rest));
    v = hn::Mul(v, hn::Set(d, s.scale));
    if (kWeight) {
      const V w = load(weight + i, count);
      v = hn::Mul(v, kGain ? hn::Add(w, hn::Set(d, 1.0f)) : w);
    }
    return kBias ? hn::Add(v, load(bias + i, count)) : v;
  }
  HWY_INLINE void apply(int64_t i, size_t count) const { store(value(i, count), y + i, count); }
};

void normalize(const float* x, RowStatistics s, const float* weight, const float* bias, float* y,
               int64_t n) {
  if (weight != nullptr && bias != nullptr) {
    for_each_vector(n, Normalize<true, true, false>{x, weight, bias, y, s});
  } else if (weight != nullptr) {
    for_each_vector(n, Normalize<true, false, false>{x, weight, bias, y, s});
  } else if (bias != nullptr) {
    for_each_vector(n, Normalize<false, true, false>{x, weight, bias, y, s});
  } else {
    for_each_vector(n, Normalize<false, false, false>{x, weight, bias, y, s});
  }
}

void modulate(const float* x, RowStatistics s, const float* gain, const float* bias, float* y,
              int64_t n) {
  if (bias != nullptr) {
    for_each_vector(n, Normalize<true, true, true>{x, gain, bias, y, s});
  } else {
    for_each_vector(n, Normalize<true, false, true>{x, gain, bias, y, s});
  }
}

template <class Rows>
float store_largest(const Rows& rows, int64_t n) {
  const F32 d;
  const hn::RebindToSigned<F32> di;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  auto most = hn::Zero(di);  // bits of magnitudes, as in largest_magnitude()
  for (int64_t i = 0; i < n; i += lanes) {
    const auto count = static_cast<size_t>(n - i < lanes ? n - i : lanes);
    const V v = rows.value(i, count);
    store(v, rows.y + i, count);
    const auto bits = hn::BitCast(di, hn::Abs(v));
    most = hn::Max(most, HWY_LIKELY(count == hn::Lanes(d))
                             ? bits
                             : hn::IfThenElseZero(hn::FirstN(di, count), bits));
  }
  return hn::GetLane(hn::BitCast(d, hn::MaxOfLanes(di, most)));
}

float modulate_largest(const float* x, RowStatistics s, const float* gain, const float* bias,
                       float* y, int64_t n) {
  if (bias != nullptr) return store_largest(Normalize<true, true, true>{x, gain, bias, y, s}, n);
  return store_largest(Normalize<true, false, true>{x, gain, bias, y, s}, n);
}

float exp_sum(const float* x, float max, float* y, int64_t n) {
  const F32 d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const V m = hn::Set(d, max);
  V total = hn::Zero(d);
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const V e = fast_exp(hn::Sub(hn::LoadU(d, x + i), m));
    total = hn::Add(total, e);
    hn::StoreU(e, d, y + i);
  }
  if (i < n) {
    const auto left = static_cast<size_t>(n - i);
    const V e = fast_exp(hn::Sub(hn::LoadN(d, x + i, left), m));
    total = hn::Add(total, hn::IfThenElseZero(hn::FirstN(d, left), e));
    hn::StoreN(e, d, y + i, left);
  }
  return hn::ReduceSum(d, total);
}

struct Scale {
  const float* x;
  float* y;
  float factor;
  HWY_INLINE void apply(int64_t i, size_t count) const {
    store(hn::Mul(load(x + i, count), hn::Set(F32(), factor)), y + i, count);
  }
};
void scale(const float* x, float factor, float* y, int64_t n) {
  for_each_vector(n, Scale{x, y, factor});
}

template <bool kRowA>
struct MultiplyAdd {
  const float *x, *a, *b;
  float* y;
  HWY_INLINE void apply(int64_t i, size_t count) const {
    const V va = kRowA ? load(a + i, count) : hn::Set(F32(), a[0]);
    store(hn::MulAdd(va, load(b + i, count), load(x + i, count)), y + i, count);
  }
};
void multiply_add(const float* x, const float* a, int a_step, const float* b, float* y, int64_t n) {
  if (a_step != 0) {
    for_each_vector(n, MultiplyAdd<true>{x, a, b, y});
  } else {
    for_each_vector(n, MultiplyAdd<false>{x, a, b, y});
  }
}

void multiply_add_bf16(const uint16_t* x, const float* a, int a_step, const uint16_t* b, float* sum,
                       uint16_t* y, int64_t n) {
  const F32 d;
  const hn::Rebind<uint16_t, F32> du;
  const hn::Rebind<hwy::bfloat16_t, F32> dh;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const auto widen = [&](auto v) HWY_ATTR { return hn::PromoteTo(d, hn::BitCast(dh, v)); };
  const V one = hn::Set(d, a[0]);
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const V v = hn::MulAdd(a_step != 0 ? hn::LoadU(d, a + i) : one, widen(hn::LoadU(du, b + i)),
                           widen(hn::LoadU(du, x + i)));
    hn::StoreU(v, d, sum + i);
    hn::StoreU(round_to_bf16(v), du, y + i);
  }
  if (i == n) return;
  const auto left = static_cast<size_t>(n - i);
  const V v = hn::MulAdd(a_step != 0 ? hn::LoadN(d, a + i, left) : one,
                         widen(hn::LoadN(du, b + i, left)), widen(hn::LoadN(du, x + i, left)));
  hn::StoreN(v, d, sum + i, left);
  hn::StoreN(round_to_bf16(v), du, y + i, left);
}

void rope_interleaved(const float* x, const float* cos, const float* sin, float* y, int64_t pairs) {
  const F32 d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  int64_t i = 0;
  for (; i + lanes <= pairs; i += lanes) {
    V a, b;
    hn::LoadInterleaved2(d, x + 2 * i, a, b);
    const V c = hn::LoadU(d, cos + i), s = hn::LoadU(d, sin + i);
    const V u = hn::NegMulAdd(b, s, hn::Mul(a, c));
    const V v = hn::MulAdd(a, s, hn::Mul(b, c));
    hn::StoreInterleaved2(u, v, d, y + 2 * i);
  }
  for (; i < pairs; ++i) {
    const float a = x[2 * i], b = x[2 * i + 1];
    y[2 * i] = a * cos[i] - b * sin[i];
    y[2 * i + 1] = a * sin[i] + b * cos[i];
  }
}

void rope_split(const float* x, const float* cos, const float* sin, float* y, int64_t pairs) {
  const F32 d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  for (int64_t i = 0; i < pairs; i += lanes) {
    const auto count = static_cast<size_t>(pairs - i < lanes ? pairs - i : lanes);
    const V a = load(x + i, count), b = load(x + pairs + i, count);
    const V c = load(cos + i, count), s = load(sin + i, count);
    store(hn::NegMulAdd(b, s, hn::Mul(a, c)), y + i, count);
    store(hn::MulAdd(a, s, hn::Mul(b, c)), y + pairs + i, count);
  }
}

}  // namespace

void fill_rows(Simd* simd) {
  simd->sum = sum;
  simd->max = max;
  simd->sum_squares = sum_squares;
  simd->sum_distances = sum_distances;
  simd->normalize = normalize;
  simd->modulate = modulate;
  simd->modulate_largest = modulate_largest;
  simd->exp_sum = exp_sum;
  simd->scale = scale;
  simd->multiply_add = multiply_add;
  simd->multiply_add_bf16 = multiply_add_bf16;
  simd->rope_interleaved = rope_interleaved;
  simd->rope_split = rope_split;
}

}  // namespace zoetrope::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace zoetrope::cpu {
HWY_EXPORT(fill_rows);
void fill_rows_for_chosen_target(Simd* simd) { HWY_DYNAMIC_DISPATCH(fill_rows)(simd); }
}  // namespace zoetrope::cpu
#endif
