// Movie Gen Audio's transformer (arXiv 2410.13720, section 6.1): latents of sound at 25 Hz, what is
// known of them joined along channels, features of pictures added frame by frame, a prompt attended
// to.
//   dit  sound [batch, frames, channels], time [batch] in [0, 1], known [batch, frames, channels]
//        and known_mask [batch, frames, 1] (1: known), text [batch, text_length, text_width],
//        pictures [batch, pictures, picture_width], evenly spread over the clip
//        → sound_velocity, shaped as sound
// The paper does not say how positions are told, what the feed-forward's activation is, how the
// projection of time is shared, nor what stands for pictures that are not there. Here: rotary
// positions along time, GELU between two matrices (which meets its 13B parameters; SwiGLU would
// exceed them), as in the video's transformer, and zeros, which its projection without biases
// keeps.
#pragma once

#include "graph/graph.h"

namespace zoetrope {

struct MovieGenAudioConfig {
  int64_t layers = 36, width = 4608, heads = 36, ffn = 18432;
  int64_t channels = 128, text_width = 768, picture_width = 1024;
  int64_t time_features = 256;
  double epsilon = 1e-5, theta = 10000;
};

Result<Graph> build_moviegen_audio_dit(const MovieGenAudioConfig& config);

}  // namespace zoetrope
