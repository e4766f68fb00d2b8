// Products of 8-bit numbers: c [m, n] = a [m, k] × b [n, k] · factors + bias.
// shaders/quantized.glsl is the other half.
#pragma once

#include "backends/vulkan/kernel.h"

namespace zoetrope::vulkan {

struct QuantizedProduct {
  enum Input : size_t { kA, kAScale, kB, kBScale, kBias };
  int64_t m, n, k;

  explicit QuantizedProduct(const KernelRequest& request)
      : m(in(request, kAScale).shape.elements()),
        n(in(request, kBScale).shape.elements()),
        k(in(request, kA).shape[-1]) {}

  int64_t groups(int64_t bm, int64_t bn) const { return ceil_div(m, bm) * ceil_div(n, bn); }
  // One tile of bm × bn a group.
  Dispatch dispatch(const KernelRequest& request, const std::string& shader, uint32_t group_size,
                    int64_t bm, int64_t bn) const;
};

// Bytes that shaders move at once for matrices of i8; 0: no shader for such matrices.
inline int64_t unit_of(const MatrixTile& t) { return t.k % 16 == 0 ? 16 : t.k % 8 == 0 ? 8 : 0; }

// i8 with a weight in the order of matrix units: quantized_packed.cc.
bool accepts_quantized_packed(const KernelRequest& request, const Capabilities& caps);
Result<KernelSpec> prepare_quantized_packed(const KernelRequest& request, const Capabilities& caps);

}  // namespace zoetrope::vulkan
