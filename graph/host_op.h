// A core op on tensors of any dtype in host memory, by its definition in double: what the reference
// backend runs, and the CPU's where it has no kernel. Slow, and allocates.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "graph/op.h"

namespace zoetrope {

class HostOp {
 public:
  // `op` has a reference; null inputs are absent. Copies what it is given.
  HostOp(OpKind op, const Attrs& attrs, std::span<const TensorType* const> inputs,
         std::span<const TensorType* const> outputs);

  // Addresses of tensors of the types given; those of absent inputs are not looked at.
  void run(std::span<const void* const> inputs, std::span<void* const> outputs) const;

 private:
  const OpDef& def_;
  Attrs attrs_;
  std::vector<std::optional<TensorType>> inputs_;
  std::vector<TensorType> outputs_;
};

}  // namespace zoetrope
