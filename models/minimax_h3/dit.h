// MiniMax-H3's transformer: words, sound and video in one sequence, without cross-attention (facts
// from diffusers' transformer_minimax_h3.py and its pipeline's layout of rows).
//   dit  video [batch, frames, height, width, channels], sound [batch, sound_frames, sides ·
//        sound_channels] (latents, sides of stereo one after the other), time and sound_time
//        [batch] in [0, 1] (1: noise), text [batch, text_length, text_width], text_lengths i32
//        [batch] (what is beyond is not seen)
//        → video_velocity and sound_velocity, shaped as video and sound: towards noise, where the
//        reference's lead to the result
//   dit_ended  the same with pictures at the clip's ends: ends [batch, pictures, height, width,
//        channels], latents as they stay, end_times [batch, pictures], the frames that they are,
//        and text_seen [batch, text_length]: 1 where no word but a picture is read
// The sequence is sound, video, words (sound, video, pictures, words): the reference's order is
// another, which attention does not see. Weights carry diffusers' names; a block's results are
// "transformer_blocks.N.video",
// ".sound" and ".text".
#pragma once

#include "graph/graph.h"

namespace zoetrope {

struct MiniMaxH3Config {
  int64_t layers = 50, refiner_layers = 2;
  int64_t width = 5376, heads = 56, head_dim = 128, ffn = 14336;
  int64_t channels = 24, sound_channels = 32, sides = 2;
  int64_t patch = 2;  // rows and columns of latents that are one token
  int64_t text_width = 5120;
  int64_t time_features = 256, time_hidden = 5376, time_width = 2688;
  // Of each of the three axes; the same for all. Twice their number of a head's channels turn, the
  // rest stays.
  int64_t rope_freq_dim = 16;
  double theta = 10000;
  double epsilon = 1e-5, qk_epsilon = 1e-5, final_epsilon = 1e-5;
  // Of latents of video: of every `period` the first stands for first_frames, the others for
  // later_frames. A latent of sound is one unit of time, a frame so many.
  int64_t period = 5, first_frames = 1, later_frames = 4;
  double units_a_frame = 5.0 / 3;
  double end_noise = 0.001;  // pictures at the ends are told no time that is nearer to the result
};

MiniMaxH3Config minimax_h3();

// Errors name what cannot be.
Result<Graph> build_minimax_h3_dit(const MiniMaxH3Config& config);
Result<Graph> build_minimax_h3_dit_ended(const MiniMaxH3Config& config);

}  // namespace zoetrope
