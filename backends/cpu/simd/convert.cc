#include "backends/cpu/simd/parts.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backends/cpu/simd/convert.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
//
#include "backends/cpu/simd/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace zoetrope::cpu::HWY_NAMESPACE {
namespace {

template <class Half>
void widen_loop(const uint16_t* x, float* y, int64_t n) {
  const F32 d;
  const hn::Rebind<Half, F32> dh;
  const hn::Rebind<uint16_t, F32> du;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes)
    hn::StoreU(hn::PromoteTo(d, hn::BitCast(dh, hn::LoadU(du, x + i))), d, y + i);
  if (i < n) {
    const auto left = static_cast<size_t>(n - i);
    hn::StoreN(hn::PromoteTo(d, hn::BitCast(dh, hn::LoadN(du, x + i, left))), d, y + i, left);
  }
}

void f32_to_bf16(const float* x, uint16_t* y, int64_t n) {
  const F32 d;
  const hn::Rebind<uint16_t, F32> du;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) hn::StoreU(round_to_bf16(hn::LoadU(d, x + i)), du, y + i);
  if (i < n) {
    const auto left = static_cast<size_t>(n - i);
    hn::StoreN(round_to_bf16(hn::LoadN(d, x + i, left)), du, y + i, left);
  }
}

#if HWY_TARGET <= HWY_AVX2
void f16_to_f32(const uint16_t* x, float* y, int64_t n) { widen_loop<hwy::float16_t>(x, y, n); }

void f32_to_f16(const float* x, uint16_t* y, int64_t n) {
  const F32 d;
  const hn::Rebind<hwy::float16_t, F32> dh;
  const hn::Rebind<uint16_t, F32> du;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  for (int64_t i = 0; i < n; i += lanes) {
    const auto left = static_cast<size_t>(n - i < lanes ? n - i : lanes);
    hn::StoreN(hn::BitCast(du, hn::DemoteTo(dh, hn::LoadN(d, x + i, left))), du, y + i, left);
  }
}
#else
// Without F16C, the scalar conversions: Highway's own does not know infinity.
void f16_to_f32(const uint16_t* x, float* y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] = zoetrope::f16_to_f32(x[i]);
}
void f32_to_f16(const float* x, uint16_t* y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] = zoetrope::f32_to_f16(x[i]);
}
#endif

}  // namespace

void fill_convert(Simd* simd) {
  simd->bf16_to_f32 = widen_loop<hwy::bfloat16_t>;
  simd->f16_to_f32 = f16_to_f32;
  simd->f32_to_bf16 = f32_to_bf16;
  simd->f32_to_f16 = f32_to_f16;
}

}  // namespace zoetrope::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace zoetrope::cpu {
HWY_EXPORT(fill_convert);
void fill_convert_for_chosen_target(Simd* simd) { HWY_DYNAMIC_DISPATCH(fill_convert)(simd); }
}  // namespace zoetrope::cpu
#endif
