// LTX-2's upsampler of latents (diffusers' pipelines/ltx2/latent_upsampler.py):
//   upsampler  latents [batch, frames, height, width, channels], unnormalised
//              → upsampled [batch, frames or 2 · frames − 1, scale · height, scale · width,
//              channels]
// Weights carry diffusers' names, convolutions channels last; a block's result is
// "<block>.output".
#pragma once

#include "graph/graph.h"

namespace zoetrope {

struct Ltx2UpsamplerConfig {
  int64_t channels = 128, width = 1024;
  int64_t blocks = 4;     // before, and again behind, the change of size
  bool over_time = true;  // convolutions and norms see all frames; else each alone
  bool spatial = true, temporal = false;
  // Of rows and columns where time stays: numerator times as many, of which one in denominator is
  // kept.
  int64_t numerator = 2, denominator = 1;
  bool rational = true;  // how the weights of that change are named
};

Result<Graph> build_ltx2_upsampler(const Ltx2UpsamplerConfig& config);

}  // namespace zoetrope
