// LTX-2's upsampler of latents from diffusers' folder, or from Lightricks' file with its
// configuration in the metadata.
#pragma once

#include <vector>

#include "converters/checkpoint.h"
#include "converters/weight_map.h"
#include "models/ltx2/upsampler.h"

namespace zoetrope {

// Appends its graph; `weights` reads `checkpoint`.
Status read_ltx2_upsampler(const Checkpoint& checkpoint, Ltx2UpsamplerConfig* config,
                           std::vector<Graph>* graphs, WeightMap* weights);

}  // namespace zoetrope
