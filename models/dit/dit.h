// DiT: class-conditional images in the latents of an 8× autoencoder (Peebles & Xie, arXiv
// 2212.09748).
//   dit  latents [batch, height, width, 4], time [batch] (0..999), labels i32[batch] (1000: none)
//        → output [batch, height, width, 4 or 8]: noise, then raw variance where it is learned
// Weights carry the names of the original checkpoints.
#pragma once

#include "graph/graph.h"

namespace zoetrope {

struct DitConfig {
  int64_t layers = 28, width = 1152, heads = 16, patch = 2;
  int64_t mlp_ratio = 4;
  int64_t channels = 4;
  int64_t classes = 1000;  // the table has one row more: the null class
  int64_t time_features = 256;
  bool learned_variance = true;
  // diffusers: timestep frequencies divided by (half − 1) and FFN norms with epsilon 1e-5.
  bool diffusers = false;
};

// size: 's', 'b', 'l' or 'x' (XL); patch 2, 4 or 8.
DitConfig dit_config(char size, int64_t patch);
Result<Graph> build_dit(const DitConfig& config);

}  // namespace zoetrope
