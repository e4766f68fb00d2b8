#include "backends/cuda/products.h"

#include "backends/cuda/kernels/convert.h"
#include "backends/cuda/pack.h"

namespace zoetrope::cuda {
namespace {

// Elements that each leading dimension of `to` steps in a stack of matrices of `size`.
std::vector<int64_t> lead_steps(const Shape& shape, const Shape& to, int64_t size) {
  std::vector<int64_t> steps(static_cast<size_t>(to.rank() - 2), 0);
  int64_t step = size;
  for (int d = shape.rank() - 3; d >= 0; --d) {
    const int at = to.rank() - shape.rank() + d;
    if (shape[d] != 1) steps[static_cast<size_t>(at)] = step;
    step *= shape[d];
  }
  return steps;
}

}  // namespace

MatmulParams products_of(const KernelRequest& request) {
  enum Input : size_t { kA, kB, kBias };
  const Shape &a = in(request, kA).shape, &b = in(request, kB).shape, &y = out(request).shape;
  MatmulParams p;
  p.transpose_b = attrs(request).get_bool("transpose_b");
  p.m = a[-2], p.k = a[-1], p.n = y[-1];
  p.dtype = in(request, kA).dtype;
  p.b_dtype = in(request, kB).dtype;
  if (has(request, kBias)) p.bias_dtype = in(request, kBias).dtype;
  if (request.node->op == OpKind::kLinear)
    p.activation = parse_activation(attrs(request).get_string("activation"));

  int64_t matrices = 1, rows = 1;
  for (int d = 0; d < b.rank() - 2; ++d) matrices *= b[d];
  for (int d = 0; d < y.rank() - 1; ++d) rows *= y[d];
  if (matrices == 1 && (p.k == 0 || a.elements() == rows * p.k)) {
    p.m = rows;  // the leading dimensions are rows
    return p;
  }
  const auto steps_a = lead_steps(a, y, p.m * p.k), steps_b = lead_steps(b, y, p.n * p.k);
  int at = 4;  // filled from the end
  for (int d = y.rank() - 3; d >= 0; --d) {
    const auto i = static_cast<size_t>(d);
    if (y[d] == 1) continue;
    if (at < 4 && steps_a[i] == p.lead_a[at] * p.lead[at] &&
        steps_b[i] == p.lead_b[at] * p.lead[at]) {
      p.lead[at] *= y[d];
      continue;
    }
    --at;
    p.lead[at] = y[d], p.lead_a[at] = steps_a[i], p.lead_b[at] = steps_b[i];
  }
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
