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

Prepared prepare_kernel(const KernelRequest& request, const Context& context) {
  int32_t index = -1;
  for (const auto& family : kFamilies) {
    for (const Row& row : family()) {
      ++index;
      if (row.op != request.node->op) continue;
      if (row.accepts != nullptr && !row.accepts(request, context.caps)) continue;
      auto kernel = row.prepare(request, context);
      if (!kernel.ok()) return kernel;
      KernelInfo& info = (*kernel)->info;
      info.row = index;
      if (info.name.empty()) info.name = str(row.name, "_", dtype_name(request.outputs[0]->dtype));
      return kernel;
    }
  }
  return error(Code::kUnsupported, "the cuda backend has no kernel for op ",
               op_def(request.node->op).name, " with these types");
}

std::vector<std::string> kernel_rows() {
  std::vector<std::string> rows;
  for (const auto& family : kFamilies)
    for (const Row& row : family()) rows.push_back(str(op_def(row.op).name, " ", row.name));
  return rows;
}

}  // namespace zoetrope::cuda
