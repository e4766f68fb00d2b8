#include "graph/host_op.h"

#include <algorithm>

#include "graph/elements.h"

namespace zoetrope {

HostOp::HostOp(OpKind op, const Attrs& attrs, std::span<const TensorType* const> inputs,
               std::span<const TensorType* const> outputs)
    : def_(op_def(op)), attrs_(attrs) {
  ZT_CHECK(def_.reference != nullptr);
  for (const TensorType* type : inputs)
    inputs_.push_back(type != nullptr ? std::optional(*type) : std::nullopt);
  for (const TensorType* type : outputs) outputs_.push_back(*type);
}

void HostOp::run(std::span<const void* const> inputs, std::span<void* const> outputs) const {
  // An empty output needs no work, however long its other dimensions are.
  if (std::all_of(outputs_.begin(), outputs_.end(),
                  [](const TensorType& type) { return type.shape.elements() == 0; }))
    return;
  const size_t count = inputs_.size();
  std::vector<const TensorType*> types(count, nullptr);
  std::vector<std::vector<double>> values(count);
  std::vector<RefTensor> tensors(count);
  std::vector<const RefTensor*> pointers(count, nullptr);
  for (size_t i = 0; i < count; ++i) {
    if (!inputs_[i].has_value()) continue;
    const TensorType& type = *inputs_[i];
    values[i].resize(static_cast<size_t>(type.shape.elements()));
    if (!values[i].empty())
      load_elements(type.dtype, inputs[i], type.shape.elements(), values[i].data());
    tensors[i] = {type.shape, values[i]};
    pointers[i] = &tensors[i];
    types[i] = &type;
  }
  std::vector<std::vector<double>> results;
  for (const TensorType& type : outputs_)
    results.emplace_back(static_cast<size_t>(type.shape.elements()));
  def_.reference(OpContext{types, attrs_}, pointers, outputs_, results);
  for (size_t k = 0; k < outputs_.size(); ++k)
    if (!results[k].empty())
      store_elements(outputs_[k].dtype, outputs[k], outputs_[k].shape.elements(),
                     results[k].data());
}

}  // namespace zoetrope
