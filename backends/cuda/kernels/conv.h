// Convolutions, channels last: y [batch, out..., filters] = activation(x * weight + bias), with x
// [batch, in..., channels] and weight [filters, kernel..., channels / groups], always as three
// spatial dimensions t, h, w. Sums and bias are f32, rounded once.
#pragma once

#include <cuda_runtime_api.h>

#include "backends/cuda/kernels/activation.h"
#include "backends/cuda/kernels/divider.h"
#include "graph/dtype.h"

namespace zoetrope::cuda {

struct ConvParams {
  const void* x = nullptr;
  const void* weight = nullptr;
  const void* bias = nullptr;  // [filters]; null: none
  void* y = nullptr;
  int64_t batch = 0, channels = 0, filters = 0, groups = 1;
  int64_t in[3] = {}, out[3] = {}, kernel[3] = {}, stride[3] = {}, dilation[3] = {}, pad[3] = {};
  // out[o] sums x[i] · weight[k] where, along every dimension,
  //   conv: i = o·stride + k·dilation − pad;  transposed: o = i·stride + k·dilation − pad.
  bool transposed = false;
  uint32_t replicate = 0;  // bit d: beyond the edges of dimension d are their values, not zeros
  Activation activation = Activation::kNone;
  DType dtype = DType::kF32;  // of x, weight and y: f32, f16 or bf16
  DType bias_dtype = DType::kF32;

  ZT_HOST_DEVICE int64_t group_channels() const { return channels / groups; }
  ZT_HOST_DEVICE int64_t group_filters() const { return filters / groups; }
  ZT_HOST_DEVICE int64_t taps() const { return kernel[0] * kernel[1] * kernel[2]; }
  ZT_HOST_DEVICE int64_t positions() const { return batch * out[0] * out[1] * out[2]; }
};

// Any shape; a thread makes one element. For groups of few channels, depthwise above all.
cudaError_t conv_direct(const ConvParams& p, cudaStream_t stream);

// As products of matrices, for what accepts_conv_gather() (conv_gather.h) accepts: on FMA units,
cudaError_t conv_simt(const ConvParams& p, cudaStream_t stream);
// and, of f16 and bf16, on tensor cores (sm_80 and later).
cudaError_t conv_mma(const ConvParams& p, cudaStream_t stream);

}  // namespace zoetrope::cuda
