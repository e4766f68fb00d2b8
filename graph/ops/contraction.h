// The inner loops that the references of matmul, conv and attention share.
#pragma once

#include <cstdint>

namespace zoetrope::ops {

// y[j] += a·x[j]
inline void axpy(int64_t n, double a, const double* __restrict x, double* __restrict y) {
  for (int64_t j = 0; j < n; ++j) y[j] += a * x[j];
}

// c [M, N] += a [M, K] × b [K, N], row major.
inline void multiply_add(int64_t m, int64_t k, int64_t n, const double* a, const double* b,
                         double* c) {
  constexpr int64_t kBlock = 64;  // rows of b that stay in cache while all of a passes
  for (int64_t k0 = 0; k0 < k; k0 += kBlock) {
    const int64_t k1 = k0 + kBlock < k ? k0 + kBlock : k;
    for (int64_t i = 0; i < m; ++i)
      for (int64_t p = k0; p < k1; ++p) axpy(n, a[i * k + p], b + p * n, c + i * n);
  }
}

// to [cols, rows] = the transpose of from [rows, cols], whose rows are `pitch` apart.
inline void transpose_to(int64_t rows, int64_t cols, const double* from, int64_t pitch,
                         double* to) {
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = 0; c < cols; ++c) to[c * rows + r] = from[r * pitch + c];
}

}  // namespace zoetrope::ops
