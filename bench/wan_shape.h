// A DiT with the layers and sizes of Wan2.1-T2V-1.3B (wan/modules/model.py), for timing: the
// weights are noise and positions are an input. models/ holds the builders that run checkpoints.
#pragma once

#include "graph/graph.h"

namespace zoetrope::bench {

struct WanShape {
  int64_t tokens = 512, text_tokens = 512;
  int64_t layers = 30, width = 1536, heads = 12, ffn = 8960;
  int64_t patch_channels = 64, text_width = 4096, time_features = 256;
};

// Inputs: tokens [1, N, 64] a step, time [1, 256] a timestep, text [1, M, 4096] a clip, cos and sin
// [1, N, 1, head_dim / 2] a shape. Output: velocity [1, N, 64].
Result<Graph> build_wan_shape(const WanShape& shape);

}  // namespace zoetrope::bench
