// The last rows of the table: any core op on dtypes that have no kernel of their own (f64, f8,
// integer arithmetic), through the op's definition in double. Slow and single-threaded; the only
// kernels that allocate while running. Their names begin with "reference_".
#include <vector>

#include "backends/cpu/kernel.h"
#include "graph/host_op.h"

namespace zoetrope::cpu {
namespace {

class ReferenceKernel : public CpuKernel {
 public:
  ReferenceKernel(const KernelRequest& request, const Context& context)
      : CpuKernel(context),
        op_(request.node->op, request.node->attrs, request.inputs, request.outputs),
        inputs_(request.inputs.size()),
        outputs_(request.outputs.size()) {
    info.name = name_of(str("reference_", op_def(request.node->op).name), request);
  }

  Status run(const Call& call) const override {
    std::vector<const void*> inputs;
    std::vector<void*> outputs;
    for (size_t i = 0; i < inputs_; ++i) inputs.push_back(call.input(i));
    for (size_t k = 0; k < outputs_; ++k) outputs.push_back(call.output(k));
    op_.run(inputs, outputs);
    return Status();
  }

 private:
  const HostOp op_;
  const size_t inputs_, outputs_;
};

bool has_reference(const KernelRequest& request) {
  return op_def(request.node->op).reference != nullptr;
}

Prepared prepare(const KernelRequest& request, const Context& context) {
  return std::unique_ptr<CpuKernel>(new ReferenceKernel(request, context));
}

constexpr TableRow kTable[] = {
#define ZT_OP(kind, name, def) {OpKind::kind, "reference", Isa::kSse4, has_reference, prepare},
#include "graph/ops/op_list.inc"
#undef ZT_OP
};

}  // namespace

std::span<const TableRow> reference_table() { return kTable; }

}  // namespace zoetrope::cpu
