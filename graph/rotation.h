// Rows turned before they are rounded: a Hadamard matrix in each block of eight neighbours spreads
// what stands out over the block (QuaRot, Ashkboos et al., arXiv 2404.00456).
#pragma once

#include <cstdint>

namespace zoetrope {

inline constexpr int64_t kRotation = 8;  // columns of a block

// In place, n a multiple of the block: sums and differences of neighbours 4, then 2, then 1 apart,
// each rounded once. Done twice it gives eight times the row.
inline void rotate_row(float* x, int64_t n) {
  for (int64_t block = 0; block < n; block += kRotation)
    for (int64_t apart = kRotation / 2; apart > 0; apart /= 2)
      for (int64_t i = block; i < block + kRotation; ++i) {
        if ((i - block) / apart % 2 != 0) continue;
        const float a = x[i], b = x[i + apart];
        x[i] = a + b;
        x[i + apart] = a - b;
      }
}

}  // namespace zoetrope
