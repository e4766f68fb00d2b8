#include <array>

#include "backends/cpu/kernel.h"

namespace zoetrope::cpu {
namespace {

constexpr std::span<const Row> (*kFamilies[])() = {
    matmul_rows, conv_rows,     conv_transpose_rows, attention_rows,
    norm_rows,   fused_rows,    reduce_rows,         elementwise_rows,
    layout_rows, resample_rows, quantized_rows,      reference_rows,
};

}  // namespace

bool simd_dtypes(const KernelRequest& request) {
  for (const TensorType* type : request.inputs)
    if (type != nullptr && !is_simd_dtype(type->dtype)) return false;
  for (const TensorType* type : request.outputs)
    if (!is_simd_dtype(type->dtype)) return false;
  return true;
}

Prepared prepare_kernel(const KernelRequest& request, const Context& context) {
  int32_t index = -1;
  for (const auto& family : kFamilies) {
    for (const Row& row : family()) {
      ++index;
      if (row.op != request.node->op || row.isa > context.isa) continue;
      if (row.accepts != nullptr && !row.accepts(request)) continue;
      auto kernel = row.prepare(request, context);
      if (!kernel.ok()) return kernel;
      KernelInfo& info = (*kernel)->info;
      info.row = index;
      if (info.name.empty()) info.name = str(row.name, "_", dtype_name(request.outputs[0]->dtype));
      return kernel;
    }
  }
  return error(Code::kUnsupported, "the cpu backend has no kernel for op ",
               op_def(request.node->op).name, " with these types");
}

std::vector<std::string> kernel_rows() {
  std::vector<std::string> rows;
  for (const auto& family : kFamilies)
    for (const Row& row : family()) rows.push_back(str(op_def(row.op).name, " ", row.name));
  return rows;
}

}  // namespace zoetrope::cpu
