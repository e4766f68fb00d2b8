#include "backends/cuda/products.h"

#include "backends/cuda/kernels/convert.h"
#include "backends/cuda/pack.h"
#include "graph/ops/matmul.h"

namespace zoetrope::cuda {
MatmulParams products_of(const KernelRequest& request) {
  enum Input : size_t { kA, kB, kBias };
  const ops::MatmulShape s =
      ops::matmul_shape(in(request, kA).shape, in(request, kB).shape, out(request).shape);
  MatmulParams p;
  p.transpose_b = attrs(request).get_bool("transpose_b");
  p.m = s.m, p.k = s.k, p.n = s.n;
  for (int d = 0; d < s.products.rank(); ++d) {
    const size_t from = ops::idx(d);
    const int to = 4 - s.products.rank() + d;
    p.lead[to] = s.products.extents[d];
    p.lead_a[to] = s.products.strides[0][from], p.lead_b[to] = s.products.strides[1][from];
  }
  p.dtype = in(request, kA).dtype;
  p.b_dtype = in(request, kB).dtype;
  if (has(request, kBias)) p.bias_dtype = in(request, kBias).dtype;
  if (request.node->op == OpKind::kLinear)
    p.activation = parse_activation(attrs(request).get_string("activation"));
  return p;
}

ProductKernel::ProductKernel(const Context& context, const KernelRequest& request,
                             const MatmulParams& params, int64_t workspace)
    : CudaKernel(context), params_(params) {
  info.workspace_bytes = workspace;
  b_ = {.input = kB, .wanted = params.b_dtype};
  bias_ = {.input = kBias, .wanted = params.bias_dtype};
  convert_if_needed(request, &b_);
  if (has(request, kBias)) convert_if_needed(request, &bias_);
}

void ProductKernel::convert_if_needed(const KernelRequest& request, Operand* operand) {
  operand->stored = in(request, operand->input).dtype;
  operand->count = in(request, operand->input).shape.elements();
  const int64_t bytes = operand->count * dtype_size(operand->wanted);
  if (operand->stored == operand->wanted || bytes == 0) return;
  if (request.is_weight[operand->input]) {
    info.packed.push_back({operand->input, bytes, layout_as(operand->wanted)});
  } else {
    operand->converted_at = align_up(info.workspace_bytes);
    info.workspace_bytes = operand->converted_at + bytes;
  }
}

Result<const void*> ProductKernel::bind(const Operand& operand, const Call& call) const {
  const void* raw = call.input(operand.input);
  if (operand.converted_at < 0) return raw;
  char* to = call.workspace(operand.converted_at);
  ZT_RETURN_IF_ERROR(
      check(convert(operand.stored, raw, operand.wanted, to, operand.count, call.stream),
            "converting an operand"));
  return to;
}

Result<MatmulParams> ProductKernel::bind(const Call& call) const {
  MatmulParams p = params_;
  p.a = call.input(kA);
  ZT_ASSIGN_OR_RETURN(p.b, bind(b_, call));
  ZT_ASSIGN_OR_RETURN(p.bias, bind(bias_, call));
  p.c = call.output();
  return p;
}

}  // namespace zoetrope::cuda
