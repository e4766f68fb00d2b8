// The last rows of the table: any core op on dtypes that have no kernel of their own (f64, f8,
// integer arithmetic), through the op's definition in double. Slow and single-threaded; the only
// kernels that allocate while running. Their names begin with "reference_".
#include <vector>

#include "backends/cpu/kernel.h"

namespace zoetrope::cpu {
namespace {

class ReferenceKernel : public CpuKernel {
 public:
  ReferenceKernel(const KernelRequest& request, const Context& context)
      : CpuKernel(context), def_(op_def(request.node->op)), attrs_(request.node->attrs) {
    for (const TensorType* type : request.inputs) {
      present_.push_back(type != nullptr);
      inputs_.push_back(type != nullptr ? *type : TensorType());
    }
    for (const TensorType* type : request.outputs) outputs_.push_back(*type);
    info.name = str("reference_", def_.name, "_", dtype_name(outputs_[0].dtype));
  }

  Status run(const Call& call) const override {
    std::vector<std::vector<double>> values(inputs_.size()), results(outputs_.size());
    std::vector<RefTensor> tensors(inputs_.size());
    std::vector<const RefTensor*> pointers;
    std::vector<const TensorType*> types;
    for (size_t i = 0; i < inputs_.size(); ++i) {
      const int64_t n = present_[i] ? inputs_[i].shape.elements() : 0;
      for (int64_t e = 0; e < n; ++e)
        values[i].push_back(load_element(inputs_[i].dtype, call.input(i), e));
      tensors[i] = {inputs_[i].shape, values[i]};
      pointers.push_back(present_[i] ? &tensors[i] : nullptr);
      types.push_back(present_[i] ? &inputs_[i] : nullptr);
    }
    for (size_t o = 0; o < outputs_.size(); ++o)
      results[o].resize(idx(outputs_[o].shape.elements()));
    def_.reference(OpContext{types, attrs_}, pointers, outputs_, results);
    for (size_t o = 0; o < outputs_.size(); ++o)
      for (size_t e = 0; e < results[o].size(); ++e)
        store_element(outputs_[o].dtype, call.output(o), static_cast<int64_t>(e), results[o][e]);
    return Status();
  }

 private:
  const OpDef& def_;
  Attrs attrs_;
  std::vector<bool> present_;
  std::vector<TensorType> inputs_, outputs_;
};

bool has_reference(const KernelRequest& request) {
  return op_def(request.node->op).reference != nullptr;
}

Prepared prepare(const KernelRequest& request, const Context& context) {
  return std::unique_ptr<CpuKernel>(new ReferenceKernel(request, context));
}

constexpr Row kRows[] = {
#define ZT_OP(kind, name, def) {OpKind::kind, "reference", Isa::kSse4, has_reference, prepare},
#include "graph/ops/op_list.inc"
#undef ZT_OP
};

}  // namespace

std::span<const Row> reference_rows() { return kRows; }

}  // namespace zoetrope::cpu
