// Movie Gen Video DiT (arXiv 2410.13720, section 3.1): RMSNorm, SwiGLU, full attention, no biases,
// adaLN for time, cross-attention to three joined text encoders.
//   dit  video [batch, frames, height, width, 16] (latent sizes, height and width even),
//        time [batch] in [0, 1], and per text encoder E: text_E [batch, length_E, width_E]
//        → video_velocity, shaped as video
// The paper does not say how adaLN's projection is shared; one projection for all blocks with a
// learned table a block is what meets its 30B parameters.
#pragma once

#include <string>
#include <vector>

#include "graph/graph.h"

namespace zoetrope {

struct MovieGenConfig {
  int64_t layers = 48, width = 6144, heads = 48, ffn = 16384;
  int64_t channels = 16;
  int64_t time_features = 256;
  double epsilon = 1e-5;
  enum class Positions { kTables, kRope } positions = Positions::kTables;
  int64_t max_frames = 64, max_rows = 128, max_columns = 128;  // of the learned tables, in patches
  struct TextEncoder {
    std::string name;
    int64_t width;
  };
  std::vector<TextEncoder> text = {{"ul2", 4096}, {"byt5", 1472}, {"metaclip", 1280}};
};

// billions: 1, 5 or 30
MovieGenConfig moviegen_config(int billions);
Result<Graph> build_moviegen_dit(const MovieGenConfig& config);

}  // namespace zoetrope
