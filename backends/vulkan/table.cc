#include "backends/vulkan/kernel.h"

namespace zoetrope::vulkan {
namespace {

constexpr Family<TableRow> kFamilies[] = {matmul_table,      conv_table,      attention_table,
                                          norm_table,        fused_table,     reduce_table,
                                          elementwise_table, layout_table,    resample_table,
                                          quantized_table,   dequantize_table};

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

Result<KernelSpec> prepare_kernel(const KernelRequest& request, const Capabilities& caps) {
  ZT_RETURN_IF_ERROR(check_sizes(request));
  ZT_ASSIGN_OR_RETURN(const auto found,
                      find_row("vulkan", kFamilies, request, [&](const TableRow& candidate) {
                        return candidate.accepts == nullptr || candidate.accepts(request, caps);
                      }));
  ZT_ASSIGN_OR_RETURN(KernelSpec spec, found.row->prepare(request, caps));
  spec.row = found.index;
  spec.name = name_of(spec.name, request);
  return spec;
}

std::vector<std::string> kernel_rows() {
  return list_rows(kFamilies, [](const TableRow& row) { return std::string(op_def(row.op).name); });
}

}  // namespace zoetrope::vulkan
