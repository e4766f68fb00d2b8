// diffusers' scheduler configurations.
#pragma once

#include <string>

#include "graph/format/diffusion_spec.h"
#include "graph/format/recipe.h"
#include "graph/status.h"

namespace zoetrope {

// scheduler_config.json of a folder. DDPMScheduler and DDIMScheduler are known; anything that such
// a file says and that would change samples is honoured or refused.
Result<DiffusionSpec> read_scheduler(const std::string& folder);

// The same of flow matching: UniPCMultistepScheduler and DPMSolverMultistepScheduler with flow
// sigmas, and FlowMatchEulerDiscreteScheduler. `train_steps`: in which the network is told its
// time; another 'num_train_timesteps' is refused (0: any).
Result<FlowSampler> read_flow_scheduler(const std::string& folder, int train_steps = 0);

}  // namespace zoetrope
