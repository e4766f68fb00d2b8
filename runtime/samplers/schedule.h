// Times of the denoising steps.
#pragma once

#include <vector>

#include "graph/format/recipe.h"

namespace zoetrope {

// steps + 1 flow-matching times from 1 (noise) to 0 (clean):
//   linear            t_i = 1 - i / steps
//   shifted           t = s·u / (1 + (s − 1)·u) of the linear u
//   linear_quadratic  Movie Gen (arXiv 2410.13720, 3.4.2): the first half are the first steps of a
//                     linear schedule of sampler.linear_steps, the second half grows quadratically
//   explicit          sampler.times as they are; `steps` must fit
Result<std::vector<double>> make_schedule(const FlowSampler& sampler, int steps);

}  // namespace zoetrope
