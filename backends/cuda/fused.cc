// What passes fuse and one pass over memory does: gated_residual, glu, norm_rope; rope is the last
// without its norm. norm_modulate stands with the norms.
#include "backends/cuda/kernels/fused.h"

#include <algorithm>

#include "backends/cuda/walk.h"
#include "graph/ops/rope.h"

namespace zoetrope::cuda {
namespace {

Prepared prepare_gated_residual(const KernelRequest& request, const Context& context) {
  const TensorType& x = in(request, 0);
  GatedResidualParams p;
  p.dtype = x.dtype;
  p.width = x.shape.rank() > 0 ? x.shape[-1] : 1;
  p.rows = p.width > 0 ? x.shape.elements() / p.width : 0;
  p.gate = side(request, 2);
  p.gating = broadcast_rows(x.shape, &in(request, 2).shape, nullptr);
  return simple_kernel(context, 0, [p](const Call& call) {
    GatedResidualParams now = p;
    now.x = call.input(0);
    now.y = call.input(1);
    now.gate.data = call.input(2);
    now.out = call.output();
    return gated_residual(now, call.stream);
  });
}

Prepared prepare_glu(const KernelRequest& request, const Context& context) {
  const TensorType& y = out(request);
  const bool halves = !has(request, 1), second = attrs(request).get_bool("gate_second");
  GluParams p;
  p.dtype = y.dtype;
  p.width = y.shape.rank() > 0 ? y.shape[-1] : 1;
  p.rows = p.width > 0 ? y.shape.elements() / p.width : 0;
  p.stride = halves ? 2 * p.width : p.width;
  p.activation = parse_activation(attrs(request).get_string("activation"));
  const int64_t half = p.width * dtype_size(p.dtype);
  return simple_kernel(context, 0, [p, halves, second, half](const Call& call) {
    GluParams now = p;
    const char* x = call.input<char>(0);
    now.a = halves && second ? x + half : x;
    now.b = !halves ? call.input<char>(1) : second ? x : x + half;
    now.out = call.output();
    return glu(now, call.stream);
  });
}

Prepared prepare_norm_rope(const KernelRequest& request, const Context& context) {
  const TensorType& x = in(request, 0);
  NormRopeParams p;
  p.dtype = x.dtype;
  p.batch = x.shape[0];
  p.tokens = x.shape[1];
  p.heads = x.shape[2];
  p.dim = x.shape[3];
  p.split = attrs(request).get_string("mode") == "split";
  p.norm = request.node->op == OpKind::kNormRope;
  if (p.norm) {
    p.full = attrs(request).get_bool("full_width");
    p.epsilon = static_cast<float>(attrs(request).get_float("epsilon"));
  }
  p.cos = side(request, 1);
  p.sin = side(request, 2);
  p.weight = side(request, 3);
  std::ranges::copy(ops::rope_table_steps(in(request, 1).shape), p.cos_steps);
  std::ranges::copy(ops::rope_table_steps(in(request, 2).shape), p.sin_steps);
  return simple_kernel(context, 0, [p](const Call& call) {
    NormRopeParams now = p;
    now.x = call.input(0);
    now.out = call.output();
    now.cos.data = call.input(1);
    now.sin.data = call.input(2);
    now.weight.data = call.input(3);
    return norm_rope(now, call.stream);
  });
}

bool accepts(const KernelRequest& request, const Capabilities&) { return compute_dtypes(request); }

constexpr TableRow kTable[] = {
    {OpKind::kGatedResidual, "gated_residual", accepts, prepare_gated_residual},
    {OpKind::kGlu, "glu", accepts, prepare_glu},
    {OpKind::kNormRope, "norm_rope", accepts, prepare_norm_rope},
    {OpKind::kRope, "rope", accepts, prepare_norm_rope},
};

}  // namespace

std::span<const TableRow> fused_table() { return kTable; }

}  // namespace zoetrope::cuda
