// Division of indices by numbers that the host knows.
#pragma once

#include <cstdint>

#ifdef __CUDACC__
#define ZT_HOST_DEVICE __host__ __device__
#else
#define ZT_HOST_DEVICE
#endif

namespace zoetrope::cuda {

// n / d by multiplication where both have 32 bits (Granlund and Montgomery 1994, figure 4.1).
struct Divider {
  uint64_t d = 1;
  uint32_t multiplier = 1, shift = 0;

  Divider() = default;
  // d ≥ 1; 0 counts as 1.
  explicit Divider(int64_t by) : d(by < 1 ? 1 : static_cast<uint64_t>(by)) {
    if (d >> 32 != 0) return;
    while (uint64_t{1} << shift < d) ++shift;
    multiplier = static_cast<uint32_t>((((uint64_t{1} << shift) - d) << 32) / d + 1);
  }

#ifdef __CUDACC__
  __device__ uint64_t quotient(uint64_t n) const {
    if ((n | d) >> 32 != 0) return n / d;
    const auto low = static_cast<uint32_t>(n);
    return (static_cast<uint64_t>(__umulhi(low, multiplier)) + low) >> shift;
  }
#endif
};

}  // namespace zoetrope::cuda
