// One kernel call against the definition of its op, on the bytes that it read.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "graph/graph.h"
#include "runtime/verify/finding.h"
#include "runtime/verify/part.h"

namespace zoetrope {

// A node with what it read and gave, in host memory, row major.
struct CallBytes {
  const Node* node = nullptr;
  std::vector<const TensorType*> input_types;  // null: absent
  std::vector<const void*> inputs;
  std::vector<TensorType> output_types;
  std::vector<const void*> outputs;
};

struct CheckOptions {
  PartOptions parts;
  std::string backend;  // whose kernel it was
};

struct CallError {
  int64_t elements = 0;  // compared
  double ratio = 0;      // largest error by what is allowed there: above 1 is a fault
  double units = 0;      // largest error in units of the dtype's rounding of max(|expected|, rms)
  std::optional<Finding> finding;  // without job, node and kernel
};

// By the definition in double, part by part (part.h). An error only where that cannot be
// evaluated; `elements` is 0 where no part of the node can be computed.
Result<CallError> check_by_definition(const CallBytes& call, const CheckOptions& options);

// Against another kernel's outputs for the same inputs, whole: both may be off by the bound.
CallError check_against_outputs(const CallBytes& call, std::span<const std::vector<uint8_t>> peer,
                                const std::string& peer_name);

}  // namespace zoetrope
