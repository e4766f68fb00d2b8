#include "backends/cuda/kernel.h"

namespace zoetrope::cuda {
namespace {

constexpr Family<Row> kFamilies[] = {
    matmul_rows, conv_rows,        conv_transpose_rows, attention_rows, norms_rows,     fused_rows,
    reduce_rows, elementwise_rows, layout_rows,         resample_rows,  quantized_rows,
};

}  // namespace

Prepared prepare_kernel(const KernelRequest& request, const Context& context) {
  ZT_ASSIGN_OR_RETURN(
      const auto found, find_row("cuda", kFamilies, request, [&](const Row& candidate) {
        return candidate.accepts == nullptr || candidate.accepts(request, context.caps);
      }));
  ZT_ASSIGN_OR_RETURN(auto kernel, found.row->prepare(request, context));
  kernel->info.row = found.index;
  if (kernel->info.name.empty()) kernel->info.name = name_of(found.row->name, request);
  return kernel;
}

std::vector<std::string> kernel_rows() {
  return list_rows(kFamilies,
                   [](const Row& row) { return str(op_def(row.op).name, " ", row.name); });
}

}  // namespace zoetrope::cuda
