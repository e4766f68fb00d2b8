// 8-bit numbers: quantising rows, products, and what turns their sums into numbers again.
#include "backends/cpu/simd/parts.h"
#include "graph/rotation.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backends/cpu/simd/integer.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace zoetrope::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;
namespace {

using F32 = hn::ScalableTag<float>;
using I32 = hn::ScalableTag<int32_t>;
using I16 = hn::ScalableTag<int16_t>;

// Bits of magnitudes order as magnitudes do, infinity and NaN above all; maxima of floats lose NaN.
float largest_magnitude(const float* x, int64_t n) {
  const F32 d;
  const I32 di;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const auto bits = [&](auto v) HWY_ATTR { return hn::BitCast(di, hn::Abs(v)); };
  auto most0 = hn::Zero(di), most1 = hn::Zero(di);
  int64_t i = 0;
  for (; i + 2 * lanes <= n; i += 2 * lanes) {
    most0 = hn::Max(most0, bits(hn::LoadU(d, x + i)));
    most1 = hn::Max(most1, bits(hn::LoadU(d, x + i + lanes)));
  }
  for (; i < n; i += lanes)
    most0 = hn::Max(most0,
                    bits(hn::LoadN(d, x + i, static_cast<size_t>(n - i < lanes ? n - i : lanes))));
  const int32_t most = hn::ReduceMax(di, hn::Max(most0, most1));
  float value;
  __builtin_memcpy(&value, &most, sizeof value);
  return value;
}

// Four lanes at a time: a block of eight is two of them.
void rotate(const float* x, float* y, int64_t n) {
  const hn::FixedTag<float, 4> d;
  const auto pairs = hn::Dup128MaskFromMaskBits(d, 0b1100);
  const auto turn = [&](auto v) HWY_ATTR {
    const auto two = hn::Shuffle1032(v);
    v = hn::IfThenElse(pairs, hn::Sub(two, v), hn::Add(v, two));
    const auto one = hn::Shuffle2301(v);
    return hn::OddEven(hn::Sub(one, v), hn::Add(v, one));
  };
  for (int64_t i = 0; i < n; i += kRotation) {
    const auto a = hn::LoadU(d, x + i), b = hn::LoadU(d, x + i + 4);
    hn::StoreU(turn(hn::Add(a, b)), d, y + i);
    hn::StoreU(turn(hn::Sub(a, b)), d, y + i + 4);
  }
}

// Of values that the factor brings to ±127 at most, but for a rounding: clamped before they round.
void round_to_i8(const float* x, float factor, int8_t* y, int64_t n) {
  const F32 d;
  const hn::Rebind<int8_t, F32> d8;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const auto by = hn::Set(d, factor), least = hn::Set(d, -127.0f), most = hn::Set(d, 127.0f);
  for (int64_t i = 0; i < n; i += lanes) {
    const auto left = static_cast<size_t>(n - i < lanes ? n - i : lanes);
    const auto v =
        left == static_cast<size_t>(lanes) ? hn::LoadU(d, x + i) : hn::LoadN(d, x + i, left);
    const auto whole =
        hn::DemoteTo(d8, hn::NearestInt(hn::Min(hn::Max(hn::Mul(v, by), least), most)));
    if (left == static_cast<size_t>(lanes))
      hn::StoreU(whole, d8, y + i);
    else
      hn::StoreN(whole, d8, y + i, left);
  }
}

// As f32_to_f8e4m3() in graph/dtype.h, of whole vectors.
void round_to_f8e4m3(const float* x, float factor, uint8_t* y, int64_t n) {
  const F32 d;
  const hn::RebindToUnsigned<F32> du;
  const hn::Rebind<uint8_t, F32> d8;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const auto by = hn::Set(d, factor), most = hn::Set(d, 448.0f), least_normal = hn::Set(d, 0x1p-6f);
  const auto round = [&](auto v) HWY_ATTR {
    const auto product = hn::Mul(v, by), size = hn::Min(hn::Abs(product), most);
    const auto bits = hn::BitCast(du, size);
    const auto odd = hn::And(hn::ShiftRight<20>(bits), hn::Set(du, 1u));
    // 2^-6 has the exponent 1.
    const auto normal = hn::ShiftRight<20>(
        hn::Sub(hn::Add(bits, hn::Add(odd, hn::Set(du, 0x7ffffu))), hn::Set(du, 0x3c000000u)));
    const auto small = hn::BitCast(du, hn::NearestInt(hn::Mul(size, hn::Set(d, 512.0f))));
    const auto is_small = hn::RebindMask(du, hn::Lt(size, least_normal));
    const auto sign = hn::And(hn::ShiftRight<24>(hn::BitCast(du, product)), hn::Set(du, 0x80u));
    return hn::TruncateTo(d8, hn::Or(sign, hn::IfThenElse(is_small, small, normal)));
  };
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) hn::StoreU(round(hn::LoadU(d, x + i)), d8, y + i);
  if (i < n) {
    const auto left = static_cast<size_t>(n - i);
    hn::StoreN(round(hn::LoadN(d, x + i, left)), d8, y + i, left);
  }
}

void i8_to_u8(const uint8_t* x, uint8_t* y, int64_t n) {
  const hn::ScalableTag<uint8_t> d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const auto sign = hn::Set(d, uint8_t{0x80});
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) hn::StoreU(hn::Xor(hn::LoadU(d, x + i), sign), d, y + i);
  for (; i < n; ++i) y[i] = x[i] ^ 0x80u;
}

// kRows rows of two vectors of sums, which stay in registers only where loops over them are
// unrolled. A pair of neighbours in k is one 32-bit lane.
template <int kRows>
HWY_INLINE void pair_tile(const int16_t* a, int64_t lda, const int16_t* b, int64_t ldb, int32_t* c,
                          int64_t ldc, int64_t pairs, bool accumulate) {
  const I32 d;
  const I16 d16;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  hn::Vec<I32> left[kRows], right[kRows];
  HWY_UNROLL(8)
  for (int r = 0; r < kRows; ++r) {
    left[r] = accumulate ? hn::LoadU(d, c + r * ldc) : hn::Zero(d);
    right[r] = accumulate ? hn::LoadU(d, c + r * ldc + lanes) : hn::Zero(d);
  }
  for (int64_t p = 0; p < pairs; ++p) {
    const auto b0 = hn::LoadU(d16, b + p * 2 * ldb);
    const auto b1 = hn::LoadU(d16, b + p * 2 * ldb + 2 * lanes);
    HWY_UNROLL(8)
    for (int r = 0; r < kRows; ++r) {
      int32_t pair;
      __builtin_memcpy(&pair, a + r * lda + 2 * p, 4);
      const auto va = hn::BitCast(d16, hn::Set(d, pair));
      left[r] = hn::Add(left[r], hn::WidenMulPairwiseAdd(d, va, b0));
      right[r] = hn::Add(right[r], hn::WidenMulPairwiseAdd(d, va, b1));
    }
  }
  HWY_UNROLL(8)
  for (int r = 0; r < kRows; ++r) {
    hn::StoreU(left[r], d, c + r * ldc);
    hn::StoreU(right[r], d, c + r * ldc + lanes);
  }
}

void gemm_i16(const int16_t* a, int64_t lda, const int16_t* b, int64_t ldb, int32_t* c, int64_t ldc,
              int64_t m, int64_t n, int64_t k, bool accumulate) {
  const I32 d;
  const auto step = 2 * static_cast<int64_t>(hn::Lanes(d));
  for (int64_t column = 0; column < n; column += step) {
    int64_t row = 0;
    for (; row + 6 <= m; row += 6)
      pair_tile<6>(a + row * lda, lda, b + 2 * column, ldb, c + row * ldc + column, ldc, k / 2,
                   accumulate);
    for (; row < m; ++row)
      pair_tile<1>(a + row * lda, lda, b + 2 * column, ldb, c + row * ldc + column, ldc, k / 2,
                   accumulate);
  }
}

// y = sum·row·columns + bias: two products and a sum, each rounded once.
template <bool kBias, class Sum>
HWY_INLINE void scale_loop(const Sum& sum, float row, const float* columns, const float* bias,
                           float* y, int64_t n) {
  const F32 d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const auto by = hn::Set(d, row);
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    auto v = hn::Mul(hn::Mul(sum.load(i), by), hn::LoadU(d, columns + i));
    if constexpr (kBias) v = hn::Add(v, hn::LoadU(d, bias + i));
    hn::StoreU(v, d, y + i);
  }
  if (i == n) return;
  const auto left = static_cast<size_t>(n - i);
  auto v = hn::Mul(hn::Mul(sum.load(i, left), by), hn::LoadN(d, columns + i, left));
  if constexpr (kBias) v = hn::Add(v, hn::LoadN(d, bias + i, left));
  hn::StoreN(v, d, y + i, left);
}
template <class Sum>
HWY_INLINE void scale_sums(const Sum& sum, float row, const float* columns, const float* bias,
                           float* y, int64_t n) {
  if (bias != nullptr)
    scale_loop<true>(sum, row, columns, bias, y, n);
  else
    scale_loop<false>(sum, row, columns, bias, y, n);
}

struct Sums {
  const int32_t* c;
  HWY_INLINE hn::Vec<F32> load(int64_t i) const {
    return hn::ConvertTo(F32(), hn::LoadU(I32(), c + i));
  }
  HWY_INLINE hn::Vec<F32> load(int64_t i, size_t left) const {
    return hn::ConvertTo(F32(), hn::LoadN(I32(), c + i, left));
  }
};
struct SumsLess {
  const int32_t *c, *less;
  HWY_INLINE hn::Vec<F32> load(int64_t i) const {
    const I32 d;
    return hn::ConvertTo(F32(), hn::Sub(hn::LoadU(d, c + i), hn::LoadU(d, less + i)));
  }
  HWY_INLINE hn::Vec<F32> load(int64_t i, size_t left) const {
    const I32 d;
    return hn::ConvertTo(F32(), hn::Sub(hn::LoadN(d, c + i, left), hn::LoadN(d, less + i, left)));
  }
};
struct FloatSums {
  const float* c;
  HWY_INLINE hn::Vec<F32> load(int64_t i) const { return hn::LoadU(F32(), c + i); }
  HWY_INLINE hn::Vec<F32> load(int64_t i, size_t left) const {
    return hn::LoadN(F32(), c + i, left);
  }
};

void scale_i32(const int32_t* c, const int32_t* less, float row, const float* columns,
               const float* bias, float* y, int64_t n) {
  if (less != nullptr)
    scale_sums(SumsLess{c, less}, row, columns, bias, y, n);
  else
    scale_sums(Sums{c}, row, columns, bias, y, n);
}

void scale_f32(const float* c, float row, const float* columns, const float* bias, float* y,
               int64_t n) {
  scale_sums(FloatSums{c}, row, columns, bias, y, n);
}

}  // namespace

void fill_integer(Simd* simd) {
  simd->rotate = rotate;
  simd->largest_magnitude = largest_magnitude;
  simd->round_to_i8 = round_to_i8;
  simd->round_to_f8e4m3 = round_to_f8e4m3;
  simd->i8_to_u8 = i8_to_u8;
  simd->gemm_i16 = gemm_i16;
  simd->scale_i32 = scale_i32;
  simd->scale_f32 = scale_f32;
}

}  // namespace zoetrope::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace zoetrope::cpu {
HWY_EXPORT(fill_integer);
void fill_integer_for_chosen_target(Simd* simd) { HWY_DYNAMIC_DISPATCH(fill_integer)(simd); }
}  // namespace zoetrope::cpu
#endif
