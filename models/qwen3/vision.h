// The sight of Qwen3-VL (transformers' Qwen3VLVisionModel): one picture as places that its text
// network reads in place of words, and what its first layers add there (DeepStack,
// arXiv 2406.04334).
//   vision  pixels [1, rows · side, columns · side, 3] in [−1, 1], side = merge · patch
//           → features [1, rows · columns, (1 + deep) · out_width]: of each place what is read,
//           then what layers 0, 1, ... add
// Weights carry transformers' names, convolutions channels last; blocks are "blocks.N.output".
#pragma once

#include <vector>

#include "graph/graph.h"

namespace zoetrope {

struct Qwen3VisionConfig {
  int64_t layers = 27, width = 1152, heads = 16, ffn = 4304;
  int64_t patch = 16, frames = 2, merge = 2;  // a picture is `frames` equal ones
  int64_t out_width = 5120;
  int64_t grid = 48;                     // rows and columns of the table of positions
  std::vector<int64_t> deep{8, 16, 24};  // blocks behind which places are read as well
  double epsilon = 1e-6, theta = 10000;
  int64_t side() const { return patch * merge; }
};

Result<Graph> build_qwen3_vision(const Qwen3VisionConfig& config);

}  // namespace zoetrope
