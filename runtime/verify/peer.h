// One node on another device, on given bytes: whether two backends agree on it.
#pragma once

#include <string>
#include <vector>

#include "runtime/backend/backend.h"
#include "runtime/verify/call_check.h"

namespace zoetrope {

// Outputs of the node as `device` computes them, decomposed where it has no kernel for it. What is
// a weight of the model is a weight here, too, so that the kernel is the one that plans take.
Result<std::vector<std::vector<uint8_t>>> run_node_on(Device& device, const CallBytes& call,
                                                      const std::vector<bool>& is_weight);

}  // namespace zoetrope
