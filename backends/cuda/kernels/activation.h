// The activations that fused ops know.
#pragma once

#include "graph/ops/elementwise.h"

namespace zoetrope::cuda {

using ops::Activation;
using ops::parse_activation;

}  // namespace zoetrope::cuda
