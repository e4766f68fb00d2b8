#include <algorithm>

#include "backends/vulkan/kernel.h"

namespace zoetrope::vulkan {
namespace {

constexpr std::span<const Row> (*kFamilies[])() = {
    matmul_rows, conv_rows,        attention_rows, norms_rows,    fused_rows,
    reduce_rows, elementwise_rows, layout_rows,    resample_rows, quantized_rows};

// Shaders count elements in 32 bits.
Status check_sizes(const KernelRequest& request) {
  const auto check_one = [](const TensorType* type) {
    if (type == nullptr || type->shape.elements() <= int64_t{UINT32_MAX} - 65536) return Status();
    return error(Code::kUnsupported,
                 "the vulkan backend takes tensors of less than 2^32 elements; ", type->to_string(),
                 " is larger: cut the work into tiles");
  };
  for (const TensorType* type : request.inputs) ZT_RETURN_IF_ERROR(check_one(type));
  for (const TensorType* type : request.outputs) ZT_RETURN_IF_ERROR(check_one(type));
  return Status();
}

}  // namespace

bool compute_dtypes(const KernelRequest& request) {
  const auto good = [](const TensorType* t) { return t == nullptr || is_compute_dtype(t->dtype); };
  return std::all_of(request.inputs.begin(), request.inputs.end(), good) &&
         std::all_of(request.outputs.begin(), request.outputs.end(), good);
}

Result<KernelSpec> prepare_kernel(const KernelRequest& request, const Capabilities& caps) {
  ZT_RETURN_IF_ERROR(check_sizes(request));
  int32_t index = -1;
  for (const auto& family : kFamilies) {
    for (const Row& row : family()) {
      ++index;
      if (row.op != request.node->op) continue;
      if (row.accepts != nullptr && !row.accepts(request, caps)) continue;
      auto spec = row.prepare(request, caps);
      if (!spec.ok()) return spec;
      spec->row = index;
      spec->name += str("_", dtype_name(request.outputs[0]->dtype));
      return spec;
    }
  }
  return error(Code::kUnsupported, "the vulkan backend has no kernel for op ",
               op_def(request.node->op).name, " with these types");
}

std::vector<std::string> kernel_rows() {
  std::vector<std::string> rows;
  for (const auto& family : kFamilies)
    for (const Row& row : family()) rows.push_back(std::string(op_def(row.op).name));
  return rows;
}

}  // namespace zoetrope::vulkan
