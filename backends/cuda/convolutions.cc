#include "backends/cuda/convolutions.h"

#include "backends/cuda/conv_wgmma.h"
#include "backends/cuda/kernels/conv_gather.h"
#include "graph/ops/conv_shape.h"

namespace zoetrope::cuda {
namespace {

enum Input : size_t { kX, kWeight, kBias };

// What ProductKernel needs to know of the operands.
MatmulParams operands_of(const ConvParams& p) {
  MatmulParams operands;
  operands.dtype = operands.b_dtype = p.dtype;
  operands.bias_dtype = p.bias_dtype;
  return operands;
}

class DirectKernel : public ConvKernel {
 public:
  DirectKernel(const Context& context, const KernelRequest& request, const ConvParams& params,
               ConvLauncher launcher)
      : ConvKernel(context, request, params), launcher_(launcher) {
    info.name = str(launcher == conv_mma    ? "conv_mma_"
                    : launcher == conv_simt ? "conv_simt_"
                                            : "conv_direct_",
                    dtype_name(params.dtype));
  }

  Status launch(const Call& call) const override {
    ZT_ASSIGN_OR_RETURN(const ConvParams p, bind_conv(call));
    return check(launcher_(p, call.stream), "launching");
  }

 private:
  const ConvLauncher launcher_;
};

class WgmmaKernel : public ConvKernel {
 public:
  WgmmaKernel(const Context& context, const KernelRequest& request, const ConvParams& params)
      : ConvKernel(context, request, params) {
    set_conv_tiling(params, choose_conv_tiling(params), &tiled_);
    tiled_.multiprocessors = context.caps.multiprocessors;
    info.name = str("conv_wgmma_", dtype_name(params.dtype), "_", tiled_.tile[0], "x",
                    tiled_.tile[1], "x", tiled_.tile[2], "x", tiled_.tile_filters);
  }

  Status launch(const Call& call) const override {
    ZT_ASSIGN_OR_RETURN(const ConvParams p, bind_conv(call));
    ConvWgmmaParams tiled = tiled_;
    ZT_RETURN_IF_ERROR(map_conv_operands(p, &tiled));
    return check(conv_wgmma(tiled, call.stream), "launching");
  }

 private:
  ConvWgmmaParams tiled_{};
};

}  // namespace

ConvParams convolution_of(const KernelRequest& request) {
  const OpContext op{request.inputs, attrs(request)};
  const Shape& x = in(request, kX).shape;
  const ops::Conv3d g = ops::as_conv3d(op, x, in(request, kWeight).shape, out(request).shape);
  ConvParams p;
  p.batch = g.batch, p.channels = g.channels, p.filters = g.filters, p.groups = g.groups;
  for (int d = 0; d < 3; ++d) {
    p.in[d] = g.in[d], p.out[d] = g.out[d], p.kernel[d] = g.kernel[d];
    p.stride[d] = g.stride[d], p.dilation[d] = g.dilation[d], p.pad[d] = g.pad_lo[d];
  }
  p.transposed = request.node->op == OpKind::kConvTranspose;
  p.dtype = in(request, kX).dtype;
  if (has(request, kBias)) p.bias_dtype = in(request, kBias).dtype;
  if (request.node->op == OpKind::kConvBias) {
    p.activation = parse_activation(attrs(request).get_string("activation"));
    const int spatial = x.rank() - 2;
    const auto replicate = ops::ints_or(attrs(request), "replicate", spatial, 0);
    for (int d = 0; d < spatial; ++d)
      if (replicate[static_cast<size_t>(d)] != 0) p.replicate |= 1u << (3 - spatial + d);
  }
  return p;
}

bool accepts_conv_direct(const KernelRequest& request, const Capabilities&) {
  return is_compute_dtype(in(request, kX).dtype) && is_float(in(request, kWeight).dtype) &&
         (!has(request, kBias) || is_compute_dtype(in(request, kBias).dtype));
}

bool accepts_conv_simt(const KernelRequest& request, const Capabilities& caps) {
  if (!accepts_conv_direct(request, caps)) return false;
  const ConvParams p = convolution_of(request);
  constexpr int64_t kLeastFilters = 8;  // fewer in many groups leave tiles empty
  return accepts_conv_gather(p) && (p.groups == 1 || p.group_filters() >= kLeastFilters);
}

bool accepts_conv_mma(const KernelRequest& request, const Capabilities& caps) {
  return caps.mma() && in(request, kX).dtype != DType::kF32 && accepts_conv_simt(request, caps);
}

bool accepts_conv_wgmma(const KernelRequest& request, const Capabilities& caps) {
  if (!caps.wgmma() || !accepts_conv_mma(request, caps)) return false;
  const ConvParams p = convolution_of(request);
  if (!accepts_conv_wgmma_shape(p)) return false;
  // Enough tiles to keep a device of this size busy, and few positions in them that y lacks.
  constexpr int64_t kLeastTiles = 32;
  ConvWgmmaParams tiled{};
  if (!set_conv_tiling(p, choose_conv_tiling(p), &tiled)) return false;
  if (caps.switches.any_size) return true;
  const int64_t tiles = int64_t{tiled.tiles[0]} * tiled.tiles[1] * tiled.tiles[2] * tiled.batch;
  return tiles * tiled.columns >= kLeastTiles && tiles * 64 * kConvBlocks <= 2 * p.positions();
}

ConvKernel::ConvKernel(const Context& context, const KernelRequest& request,
                       const ConvParams& params)
    : ProductKernel(context, request, operands_of(params), 0), conv_(params) {}

Result<ConvParams> ConvKernel::bind_conv(const Call& call) const {
  ZT_ASSIGN_OR_RETURN(const MatmulParams operands, bind(call));
  ConvParams p = conv_;
  p.x = operands.a, p.weight = operands.b, p.bias = operands.bias, p.y = operands.c;
  return p;
}

Prepared prepare_conv_wgmma(const KernelRequest& request, const Context& context) {
  return std::unique_ptr<CudaKernel>(new WgmmaKernel(context, request, convolution_of(request)));
}

Prepared prepare_convolution(const KernelRequest& request, const Context& context,
                             ConvLauncher launcher) {
  return std::unique_ptr<CudaKernel>(
      new DirectKernel(context, request, convolution_of(request), launcher));
}

}  // namespace zoetrope::cuda
