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

Prepared prepare_row_norm(const KernelRequest& request, const Context& context,
                          const RowNorm& norm) {
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
  return simple_kernel(context, 0, [p, norm](const Call& call) {
    RowNormParams now = p;
    now.x = call.input(0);
    now.y = call.output();
    now.weight.data = call.input(norm.weight);
    now.bias.data = call.input(norm.bias);
    now.scale.data = call.input(norm.scale);
    now.shift.data = call.input(norm.shift);
    return row_norm(now, call.stream);
  });
}

Prepared prepare_rms_norm(const KernelRequest& request, const Context& context) {
  return prepare_row_norm(request, context, {true, 1, kNoInput, kNoInput, kNoInput});
}

Prepared prepare_layer_norm(const KernelRequest& request, const Context& context) {
  return prepare_row_norm(request, context, {false, 1, 2, kNoInput, kNoInput});
}

Prepared prepare_norm_modulate(const KernelRequest& request, const Context& context) {
  const bool rms = attrs(request).get_string("norm") == "rms";
  return prepare_row_norm(request, context, {rms, 3, 4, 1, 2});
}

Prepared prepare_residual_norm(const KernelRequest& request, const Context& context) {
  enum Input : size_t { kX, kY, kGate, kScale, kShift, kWeight, kBias };
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
  return simple_kernel(context, 0, [p](const Call& call) {
    RowNormParams now = p;
    now.x = call.input(kX);
    now.residual = call.input(kY);
    now.gate.data = call.input(kGate);
    now.scale.data = call.input(kScale);
    now.shift.data = call.input(kShift);
    now.weight.data = call.input(kWeight);
    now.bias.data = call.input(kBias);
    now.sum = call.output(0);
    now.y = call.output(1);
    return row_norm(now, call.stream);
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

constexpr TableRow kTable[] = {
    {OpKind::kRmsNorm, "rms_norm", accepts, prepare_rms_norm},
    {OpKind::kLayerNorm, "layer_norm", accepts, prepare_layer_norm},
    {OpKind::kNormModulate, "norm_modulate", accepts, prepare_norm_modulate},
    {OpKind::kResidualNorm, "residual_norm", accepts, prepare_residual_norm},
    {OpKind::kGroupNorm, "group_norm", accepts, prepare_group_norm},
};

}  // namespace

std::span<const TableRow> norm_table() { return kTable; }

}  // namespace zoetrope::cuda
