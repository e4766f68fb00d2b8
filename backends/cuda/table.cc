#include <algorithm>

#include "backends/cuda/kernel.h"

namespace zoetrope::cuda {
namespace {

constexpr std::span<const Row> (*kFamilies[])() = {
    matmul_rows, conv_rows,        conv_transpose_rows, attention_rows, norms_rows,     fused_rows,
    reduce_rows, elementwise_rows, layout_rows,         resample_rows,  quantized_rows,
};

}  // namespace

bool compute_dtypes(const KernelRequest& request) {
  const auto good = [](const TensorType* t) { return t == nullptr || is_compute_dtype(t->dtype); };
  return std::all_of(request.inputs.begin(), request.inputs.end(), good) &&
         std::all_of(request.outputs.begin(), request.outputs.end(), good);
}

uint32_t weight_mask(const KernelRequest& request) {
  uint32_t mask = 0;
  for (size_t i = 0; i < request.is_weight.size() && i < 32; ++i)
    if (request.is_weight[i]) mask |= 1u << i;
  return mask;
}

Prepared prepare_kernel(const KernelRequest& request, const Context& context) {
  for (size_t i = 32; i < request.is_weight.size(); ++i)
    if (request.is_weight[i])
      return error(Code::kUnsupported, "input ", i, " is a weight; only the first 32 may be");
  for (const auto& family : kFamilies) {
    for (const Row& row : family()) {
      if (row.op != request.node->op) continue;
      if (row.accepts != nullptr && !row.accepts(request, context.caps)) continue;
      auto kernel = row.prepare(request, context);
      if (!kernel.ok()) return kernel;
      KernelInfo& info = (*kernel)->info;
      if (info.name.empty()) info.name = str(row.name, "_", dtype_name(request.outputs[0]->dtype));
      // A kernel that packs has set the mask itself; for the others every weight is raw.
      if (info.raw_inputs == 0 && info.packed_bytes == 0) info.raw_inputs = weight_mask(request);
      return kernel;
    }
  }
  return error(Code::kUnsupported, "the cuda backend has no kernel for op ",
               op_def(request.node->op).name, " with these types");
}

}  // namespace zoetrope::cuda
