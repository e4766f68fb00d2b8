#include "backends/cuda/kernel.h"

namespace zoetrope::cuda {
namespace {

constexpr Family<TableRow> kFamilies[] = {
    matmul_table, conv_table,     conv_transpose_table, attention_table,
    norm_table,   fused_table,    reduce_table,         elementwise_table,
    layout_table, resample_table, quantized_table,      dequantize_table,
};

}  // namespace

Prepared prepare_kernel(const KernelRequest& request, const Context& context) {
  ZT_ASSIGN_OR_RETURN(
      const auto found, find_row("cuda", kFamilies, request, [&](const TableRow& candidate) {
        return candidate.accepts == nullptr || candidate.accepts(request, context.caps);
      }));
  ZT_ASSIGN_OR_RETURN(auto kernel, found.row->prepare(request, context));
  kernel->info.row = found.index;
  if (kernel->info.name.empty()) kernel->info.name = name_of(found.row->name, request);
  return kernel;
}

std::vector<std::string> kernel_rows() {
  return list_rows(kFamilies,
                   [](const TableRow& row) { return str(op_def(row.op).name, " ", row.name); });
}

}  // namespace zoetrope::cuda
