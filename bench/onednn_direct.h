// oneDNN's own primitives with its own threads, as a program that calls it directly would use them:
// weights in the format that the primitive prefers, everything prepared before timing.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "graph/dtype.h"

namespace zoetrope::bench {

using Body = std::function<void()>;  // one execution

// y [m, n] = x [m, k] × packed w
Body onednn_matmul(DType dtype, int64_t m, int64_t n, int64_t k, int threads);
// softmax(q kᵀ / √d) v as matmul, softmax, matmul over [heads, tokens, d].
Body onednn_attention(DType dtype, int64_t tokens, int64_t heads, int64_t d, int threads);

struct ConvCase {
  int64_t frames, height, width, channels, filters;
  int64_t kernel_t, kernel;  // odd; padded by half with zeros
};
Body onednn_conv(DType dtype, const ConvCase& shape, int threads);

}  // namespace zoetrope::bench
