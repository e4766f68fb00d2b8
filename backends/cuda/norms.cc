// Norms over the last axis (norm_modulate and residual_norm too), or over groups of channels.
#include "backends/cuda/kernels/norms.h"

#include "backends/cuda/kernels/group_norm.h"
#include "backends/cuda/walk.h"

namespace zoetrope::cuda {
namespace {

// Which inputs of an op are which; kNoInput: the op has none.
constexpr size_t kNoInput = 99;
struct RowNorm {
  bool rms;
  size_t weight, bias, scale, shift;
};

RowNormParams params_of(const KernelRequest& request, const RowNorm& norm) {
  const TensorType& x = in(request, 0);
  const auto shape_of = [&](size_t i) { return has(request, i) ? &in(request, i).shape : nullptr; };
  RowNormParams p;
  p.dtype = x.dtype;
  p.width = x.shape[-1];
  p.rows = x.shape.elements() / p.width;
  p.rms = norm.rms;
  p.epsilon = static_cast<float>(attrs(request).get_float("epsilon"));
  p.weight = side(request, norm.weight);
  p.bias = side(request, norm.bias);
  p.scale = side(request, norm.scale);
  p.shift = side(request, norm.shift);
  p.modulation = broadcast_rows(x.shape, shape_of(norm.scale), shape_of(norm.shift));
  return p;
}

RowNormParams bound(RowNormParams p, const RowNorm& norm, const Call& call) {
  p.x = call.input(0);
  p.weight.data = call.input(norm.weight);
  p.bias.data = call.input(norm.bias);
  p.scale.data = call.input(norm.scale);
  p.shift.data = call.input(norm.shift);
  return p;
}

Prepared prepare_row_norm(const KernelRequest& request, const Context& context,
                          const RowNorm& norm) {
  return simple_kernel(context, 0, [p = params_of(request, norm), norm](const Call& call) {
    RowNormParams now = bound(p, norm, call);
    now.y = call.output();
    return row_norm(now, call.stream);
  });
}

Prepared prepare_rms_norm(const KernelRequest& request, const Context& context) {
  return prepare_row_norm(request, context, {true, 1, kNoInput, kNoInput, kNoInput});
}

Prepared prepare_layer_norm(const KernelRequest& request, const Context& context) {
  return prepare_row_norm(request, context, {false, 1, 2, kNoInput, kNoInput});
}

// Of norm_modulate and norm_quantize.
RowNorm modulated(const KernelRequest& request) {
  return {attrs(request).get_string("norm") == "rms", 3, 4, 1, 2};
}

Prepared prepare_norm_modulate(const KernelRequest& request, const Context& context) {
  return prepare_row_norm(request, context, modulated(request));
}

Prepared prepare_norm_quantize(const KernelRequest& request, const Context& context) {
  const RowNorm norm = modulated(request);
  const DType dtype = out(request).dtype;
  return simple_kernel(context, 0, [p = params_of(request, norm), norm, dtype](const Call& call) {
    return norm_quantize({bound(p, norm, call), call.output(), call.output<float>(1), dtype},
                         call.stream);
  });
}

enum ResidualInput : size_t { kX, kY, kGate, kScale, kShift, kWeight, kBias };

RowNormParams residual_params(const KernelRequest& request) {
  const TensorType& x = in(request, kX);
  const auto shape_of = [&](size_t i) { return has(request, i) ? &in(request, i).shape : nullptr; };
  RowNormParams p;
  p.dtype = x.dtype;
  p.width = x.shape[-1];
  p.rows = x.shape.elements() / p.width;
  p.rms = attrs(request).get_string("norm") == "rms";
  p.epsilon = static_cast<float>(attrs(request).get_float("epsilon"));
  p.gate = side(request, kGate);
  p.gating = broadcast_rows(x.shape, shape_of(kGate), nullptr);
  p.scale = side(request, kScale);
  p.shift = side(request, kShift);
  p.modulation = broadcast_rows(x.shape, shape_of(kScale), shape_of(kShift));
  p.weight = side(request, kWeight);
  p.bias = side(request, kBias);
  return p;
}

RowNormParams residual_bound(RowNormParams p, const Call& call) {
  p.x = call.input(kX);
  p.residual = call.input(kY);
  p.gate.data = call.input(kGate);
  p.scale.data = call.input(kScale);
  p.shift.data = call.input(kShift);
  p.weight.data = call.input(kWeight);
  p.bias.data = call.input(kBias);
  p.sum = call.output(0);
  return p;
}

Prepared prepare_residual_norm(const KernelRequest& request, const Context& context) {
  return simple_kernel(context, 0, [p = residual_params(request)](const Call& call) {
    RowNormParams now = residual_bound(p, call);
    now.y = call.output(1);
    return row_norm(now, call.stream);
  });
}

Prepared prepare_residual_norm_quantize(const KernelRequest& request, const Context& context) {
  const DType dtype = out(request, 1).dtype;
  return simple_kernel(context, 0, [p = residual_params(request), dtype](const Call& call) {
    return norm_quantize({residual_bound(p, call), call.output(1), call.output<float>(2), dtype},
                         call.stream);
  });
}

Prepared prepare_group_norm(const KernelRequest& request, const Context& context) {
  const TensorType& x = in(request, 0);
  GroupNormParams p;
  p.dtype = x.dtype;
  p.batch = x.shape[0];
  p.width = x.shape[-1];
  p.positions = ops::extent(x.shape, 1, x.shape.rank() - 1);
  p.groups = attrs(request).get_int("groups");
  p.epsilon = static_cast<float>(attrs(request).get_float("epsilon"));
  p.weight = side(request, 1);
  p.bias = side(request, 2);
  const int64_t workspace = group_norm_workspace(p);
  return simple_kernel(context, workspace, [p, workspace](const Call& call) {
    GroupNormParams now = p;
    now.x = call.input(0);
    now.y = call.output();
    now.weight.data = call.input(1);
    now.bias.data = call.input(2);
    if (workspace > 0) now.workspace = call.workspace<float>();
    return group_norm(now, call.stream);
  });
}

bool accepts(const KernelRequest& request, const Capabilities&) { return compute_dtypes(request); }

bool quantizes(const RowNormParams& p) {
  return is_compute_dtype(p.dtype) && is_compute_dtype(p.weight.dtype) &&
         is_compute_dtype(p.bias.dtype) && is_compute_dtype(p.gate.dtype) && norm_quantizes(p);
}

bool accepts_norm_quantize(const KernelRequest& request, const Capabilities&) {
  return quantizes(params_of(request, modulated(request)));
}

bool accepts_residual_norm_quantize(const KernelRequest& request, const Capabilities&) {
  return quantizes(residual_params(request));
}

constexpr TableRow kTable[] = {
    {OpKind::kRmsNorm, "rms_norm", accepts, prepare_rms_norm},
    {OpKind::kLayerNorm, "layer_norm", accepts, prepare_layer_norm},
    {OpKind::kNormModulate, "norm_modulate", accepts, prepare_norm_modulate},
    {OpKind::kResidualNorm, "residual_norm", accepts, prepare_residual_norm},
    {OpKind::kNormQuantize, "norm_quantize", accepts_norm_quantize, prepare_norm_quantize},
    {OpKind::kResidualNormQuantize, "residual_norm_quantize", accepts_residual_norm_quantize,
     prepare_residual_norm_quantize},
    {OpKind::kGroupNorm, "group_norm", accepts, prepare_group_norm},
};

}  // namespace

std::span<const TableRow> norm_table() { return kTable; }

}  // namespace zoetrope::cuda
