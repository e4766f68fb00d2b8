// Tables of a diffusion process over its training timesteps.
#pragma once

#include <vector>

#include "graph/format/diffusion_spec.h"
#include "graph/status.h"

namespace zoetrope {

// Cumulative products of (1 − beta), one a training timestep; rounded to f32 where the spec's
// reference keeps them so. Errors name the field that makes no sense.
Result<std::vector<double>> cumulative_alphas(const DiffusionSpec& spec);

}  // namespace zoetrope
