#include "backends/vulkan/contraction.h"

#include <numeric>

#include "graph/ops/conv_shape.h"
#include "graph/ops/matmul.h"

namespace zoetrope::vulkan {
namespace {

enum Input : size_t { kA, kB, kBias };

Contraction of_matmul(const KernelRequest& request) {
  const ops::MatmulShape s =
      ops::matmul_shape(in(request, kA).shape, in(request, kB).shape, out(request).shape);
  Contraction c;
  c.transpose_b = attrs(request).get_bool("transpose_b");
  c.m = s.m, c.k = s.k, c.n = c.ldc = s.n;
  for (int d = 0; d < s.products.rank(); ++d) {
    const size_t from = ops::idx(d), to = c.lead.size() - ops::idx(s.products.rank() - d);
    c.lead[to] = s.products.extents[d];
    c.lead_a[to] = s.products.strides[0][from], c.lead_b[to] = s.products.strides[1][from];
  }
  c.lead_c = c.m * c.n;
  return c;
}

// The output positions with one remainder by the stride see the same few taps: a product each.
void split_remainders(int64_t batch, Contraction* c) {
  c->all_taps = c->kernel, c->all_out = c->out, c->tap_dilation = c->dilation;
  c->m = batch, c->k = c->group_channels;
  for (size_t d = 0; d < 3; ++d) {
    const int64_t common = std::gcd(c->stride[d], c->dilation[d]);
    c->tap_step[d] = c->stride[d] / common;
    c->dilation[d] /= common;
    c->kernel[d] = ceil_div(c->kernel[d], c->tap_step[d]);
    c->out[d] = ceil_div(c->out[d], c->stride[d]);
    c->lead[d] = c->stride[d];
    c->m *= c->out[d], c->k *= c->kernel[d];
  }
}

Contraction of_conv(const KernelRequest& request) {
  const OpContext op{request.inputs, attrs(request)};
  const Shape& x = in(request, kA).shape;
  const ops::Conv3d g = ops::as_conv3d(op, x, in(request, kB).shape, out(request).shape);
  Contraction c;
  c.mode =
      request.node->op == OpKind::kConvTranspose ? Contraction::kConvTranspose : Contraction::kConv;
  c.transpose_b = true;
  c.m = g.batch * g.out[0] * g.out[1] * g.out[2];
  c.n = c.lead_c = g.filters / g.groups;
  c.channels = g.channels;
  c.group_channels = g.channels / g.groups;
  c.k = g.kernel[0] * g.kernel[1] * g.kernel[2] * c.group_channels;
  c.ldc = g.filters;
  c.lead[3] = g.groups;
  c.lead_a[3] = c.group_channels;
  c.lead_b[3] = c.n * c.k;
  for (size_t d = 0; d < 3; ++d) {
    c.in[d] = g.in[d], c.out[d] = g.out[d], c.kernel[d] = g.kernel[d];
    c.stride[d] = g.stride[d], c.dilation[d] = g.dilation[d], c.pad[d] = g.pad_lo[d];
  }
  if (c.mode == Contraction::kConvTranspose) split_remainders(g.batch, &c);
  if (request.node->op == OpKind::kConvBias) {
    const int spatial = x.rank() - 2;
    const auto replicate = ops::ints_or(attrs(request), "replicate", spatial, 0);
    for (int d = 0; d < spatial; ++d)
      if (replicate[static_cast<size_t>(d)] != 0) c.replicate |= 1u << (3 - spatial + d);
  }
  return c;
}

// Nothing is read from an operand without elements, but a binding must hold something.
Operand present(const KernelRequest& request, size_t i) {
  if (has(request, i) && in(request, i).shape.elements() > 0) return input(request, i);
  Operand none = output(request);
  none.reads = none.writes = false;
  return none;
}

}  // namespace

Contraction Contraction::of(const KernelRequest& request) {
  const OpKind op = request.node->op;
  Contraction c =
      op == OpKind::kMatmul || op == OpKind::kLinear ? of_matmul(request) : of_conv(request);
  c.has_bias = has(request, kBias);
  if (op == OpKind::kLinear || op == OpKind::kConvBias) c.activation = activation_number(request);
  return c;
}

Dispatch Contraction::dispatch(const KernelRequest& request, const std::string& shader,
                               uint32_t group_size, int64_t bm, int64_t bn, int64_t bk) const {
  const bool narrow_b = !is_compute_dtype(vulkan::in(request, kB).dtype);
  Dispatch d;
  d.shader = shader;
  d.operands = {present(request, kA), present(request, kB), output(request),
                present(request, kBias)};
  d.constants = {mode,        transpose_b, vector_a(4), !narrow_b && vector_b(4),
                 vector_c(4), activation,  has_bias,    u32(bm),
                 u32(bn),     u32(bk)};
  const int64_t tiles_m = ceil_div(m, bm), tiles_n = ceil_div(n, bn);
  d.params.resize(57);
  const auto put = [&](size_t at, const auto& list) {
    for (int64_t value : list) d.params[at++] = u32(value);
  };
  put(0, std::array{m, n, k, tiles_m, tiles_n, ldc});
  put(8, lead), put(12, lead_a), put(16, lead_b);
  put(20, std::array{lead_c});
  put(24, in), put(27, out), put(30, kernel), put(33, stride), put(36, dilation), put(39, pad);
  put(45, tap_step), put(48, all_taps), put(51, all_out), put(54, tap_dilation);
  put(42, std::array{channels, group_channels, int64_t{replicate}});
  d.group_size = group_size;
  d.groups = tiles_m * tiles_n * products();
  d.flops = flops();
  return d;
}

bool accepts_contraction(const KernelRequest& request, const Capabilities&) {
  const DType b = in(request, kB).dtype;
  const bool readable = is_compute_dtype(b) || b == DType::kF8E4M3 || b == DType::kF8E5M2;
  return is_compute_dtype(in(request, kA).dtype) && is_compute_dtype(out(request).dtype) &&
         readable && (!has(request, kBias) || is_compute_dtype(in(request, kBias).dtype));
}

Result<KernelSpec> prepare_tiled(const KernelRequest& request, const Capabilities&) {
  const Contraction c = Contraction::of(request);
  // 128 invocations have 32 elements of c each; tiles follow a narrow c.
  constexpr int64_t kElements = 128 * 32;
  const int64_t bn = c.n <= 16 ? 16 : c.n <= 32 ? 32 : c.m <= 32 ? 128 : 64;
  return KernelSpec{.name = str(c.mode == Contraction::kMatmul ? "matmul_tiled_" : "conv_tiled_",
                                kElements / bn, "x", bn),
                    .dispatches = {c.dispatch(request, "matmul_tiled", 128, kElements / bn, bn,
                                              bn == 16 ? 8 : 16)}};
}

}  // namespace zoetrope::vulkan
