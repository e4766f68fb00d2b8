#include "backends/cpu/simd/simd.h"

#include <array>
#include <cstring>
#include <mutex>

#include "backends/cpu/simd/parts.h"
#include "hwy/targets.h"

namespace zoetrope::cpu {
namespace {

// Highway's own choice within the instruction sets up to `isa`.
int64_t targets_up_to(Isa isa) {
  int64_t targets = HWY_SSE4;
  if (isa >= Isa::kAvx2) targets |= HWY_AVX2;
  if (isa >= Isa::kAvx512) targets |= HWY_AVX3;
  return targets;
}

Simd fill_table(Isa isa) {
  Simd simd{};
  hwy::SetSupportedTargetsForTest(targets_up_to(isa));
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  fill_convert_for_chosen_target(&simd);
  fill_unary_for_chosen_target(&simd);
  fill_binary_for_chosen_target(&simd);
  fill_rows_for_chosen_target(&simd);
  fill_gemm_for_chosen_target(&simd);
  fill_attention_for_chosen_target(&simd);
  fill_integer_for_chosen_target(&simd);
  hwy::SetSupportedTargetsForTest(0);
  hwy::GetChosenTarget().DeInit();
  return simd;
}

}  // namespace

const Simd& simd_for(Isa isa) {
  static std::mutex mutex;
  static std::array<Simd, 3> tables;
  static std::array<bool, 3> filled{};
  const std::lock_guard lock(mutex);
  const Isa level = isa > Isa::kAvx512 ? Isa::kAvx512 : isa;
  const auto index = static_cast<size_t>(level);
  if (!filled[index]) {
    tables[index] = fill_table(level);
    filled[index] = true;
  }
  return tables[index];
}

void widen(const Simd& simd, DType dtype, const void* x, float* y, int64_t n) {
  switch (dtype) {
    case DType::kBF16: simd.bf16_to_f32(static_cast<const uint16_t*>(x), y, n); return;
    case DType::kF16: simd.f16_to_f32(static_cast<const uint16_t*>(x), y, n); return;
    default: std::memcpy(y, x, static_cast<size_t>(n) * sizeof(float)); return;
  }
}

void narrow(const Simd& simd, DType dtype, const float* x, void* y, int64_t n) {
  switch (dtype) {
    case DType::kBF16: simd.f32_to_bf16(x, static_cast<uint16_t*>(y), n); return;
    case DType::kF16: simd.f32_to_f16(x, static_cast<uint16_t*>(y), n); return;
    default: std::memcpy(y, x, static_cast<size_t>(n) * sizeof(float)); return;
  }
}

}  // namespace zoetrope::cpu
