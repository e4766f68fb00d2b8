// Movie Gen Video DiT (arXiv 2410.13720, section 3.1): RMSNorm, SwiGLU, full attention, no biases,
// adaLN for time, cross-attention to three joined text encoders.
//   dit  video [batch, frames, height, width, 16] (latent sizes, height and width even),
//        time [batch] in [0, 1], and per text encoder E: text_E [batch, length_E, width_E]
//        → video_velocity, shaped as video
// and, of those that are told more than words:
//        source, shaped as video: latents of a clip, on channels behind the noise's (spatial
//        upsampling, section 3.1.5; editing, section 5.1.1)
//        task i32 [batch], of `tasks`: each has a learned vector, of which one linear map makes
//        four places behind the texts' and another is added to the embedding of time; black, shaped
//        as video, and without_source [batch]: where that is 1, black stands for the source
//        reference [batch, references, reference_length, reference_width]: features of pictures
//        behind the texts', through Linear and LayerNorm as those (section 4.1.1); of several, each
//        with a learned vector of its place (arXiv 2502.07802)
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
  bool source = false;
  int64_t tasks = 0;            // 0: it makes no edits
  int64_t reference_width = 0;  // 0: it takes no pictures
  int64_t references = 1;       // at most
};

// billions: 1, 5 or 30; or 7, of which the paper gives nothing else: heads of 128 and the
// feed-forward's part of the width are the 30B's, the rest was chosen to come to 7B.
MovieGenConfig moviegen_config(int billions);
Result<Graph> build_moviegen_dit(const MovieGenConfig& config);

}  // namespace zoetrope
