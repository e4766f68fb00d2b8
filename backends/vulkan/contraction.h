// Matrix products and convolutions as one kind of work: c = activation(a × b + bias), many products
// of one shape. shaders/contraction.glsl is the other half.
#pragma once

#include <array>

#include "backends/vulkan/kernel.h"

namespace zoetrope::vulkan {

struct Contraction {
  enum Mode : uint32_t { kMatmul, kConv, kConvTranspose } mode = kMatmul;

  int64_t m = 0, n = 0, k = 0;
  bool transpose_b = false;  // b is stored [N, K]
  int64_t ldc = 0;           // elements from row to row of c
  // Up to four leading dimensions of products, and the elements they step in a and b.
  std::array<int64_t, 4> lead{1, 1, 1, 1}, lead_a{}, lead_b{};
  int64_t lead_c = 0;

  // Convolutions: dimensions t, h, w.
  std::array<int64_t, 3> in{}, out{}, kernel{}, stride{}, dilation{}, pad{};
  int64_t channels = 0, group_channels = 0;
  // conv_transpose: see shaders/contraction.glsl.
  std::array<int64_t, 3> tap_step{}, all_taps{}, all_out{}, tap_dilation{};
  uint32_t replicate = 0;

  uint32_t activation = 0;
  bool has_bias = false;

  // From a matmul, fused_linear, conv, fused_conv or conv_transpose.
  static Contraction of(const KernelRequest& request);

  int64_t products() const { return lead[0] * lead[1] * lead[2] * lead[3]; }
  double flops() const {
    return 2.0 * static_cast<double>(m * n) * static_cast<double>(k * products());
  }
  // Whether `width` neighbours along a's rows, b's contiguous dimension or c's rows always lie in
  // an aligned run of that many.
  bool vector_a(int64_t width) const { return (mode == kMatmul ? k : group_channels) % width == 0; }
  bool vector_b(int64_t width) const {
    if (mode == kConvTranspose) return group_channels % width == 0;
    return (transpose_b ? k : n) % width == 0;
  }
  bool vector_c(int64_t width) const { return n % width == 0; }

  // One tile of bm × bn a group.
  Dispatch dispatch(const KernelRequest& request, const std::string& shader, uint32_t group_size,
                    int64_t bm, int64_t bn, int64_t bk) const;
};

// f32, f16 or bf16 throughout, and b (or a convolution's weight) of any float that shaders read.
bool accepts_contraction(const KernelRequest& request, const Capabilities& caps);
// Shared by matmul.cc and conv.cc: any shape, f32 arithmetic, any device.
Result<KernelSpec> prepare_tiled(const KernelRequest& request, const Capabilities& caps);

// Weights in the order of matrix units, products on cooperative matrices: contraction_packed.cc.
bool accepts_packed(const KernelRequest& request, const Capabilities& caps);
Result<KernelSpec> prepare_packed(const KernelRequest& request, const Capabilities& caps);

// f16 with f32 sums on cooperative matrices.
bool accepts_coopmat(const KernelRequest& request, const Capabilities& caps);
Result<KernelSpec> prepare_coopmat(const KernelRequest& request, const Capabilities& caps);

}  // namespace zoetrope::vulkan
