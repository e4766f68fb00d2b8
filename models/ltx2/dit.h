// LTX-2's transformer: video and sound in one diffusion (facts from Lightricks/LTX-2 and diffusers'
// transformer_ltx2.py).
//   dit  video [batch, frames, height, width, channels], sound [batch, sound_frames,
//   sound_channels]
//        (latents), time [batch] in [0, 1], text [batch, text_length, text_width +
//        sound_text_width]: features for the video, then those for the sound; every position is
//        looked at → video_velocity and sound_velocity, shaped as video and sound
//   known_latents of a stream adds known and known_mask [..., 1], or sound_known and
//        sound_known_mask [..., 1]: where a mask is 1 a latent is replaced by the known one and its
//        velocity leads there, less the network's own; a frame (a latent of sound) has the time
//        times the largest part of it that is unknown, and a stream, where it counts as a whole,
//        likewise
//   keyed adds key_times [batch, keys], the same in every row: the last `keys` frames of video and
//        of what is known of it stand for single frames of the clip at these times, in frames
//   weaker adds skipped and isolated [batch], 0 or 1: rows that guidance moves away from, where
//        self-attention of some blocks passes values on, or sound and video do not attend to each
//        other
// Weights carry the names of diffusers' checkpoints; a block's results are
// "transformer_blocks.N.video" and ".sound".
#pragma once

#include <vector>

#include "graph/graph.h"

namespace zoetrope {

struct Ltx2Config {
  int64_t layers = 48;
  // Of one stream.
  struct Stream {
    int64_t channels = 128;
    int64_t heads = 32, head_dim = 128;
    bool gated_attention = false;  // of each head, by its query's token
    bool modulated_prompt =
        false;  // nine tables of modulation: three more for the prompt's queries
    bool ffn_bias = true;
    bool known_latents = false;
    int64_t width() const { return heads * head_dim; }
  };
  Stream video, sound{.head_dim = 64};
  // Width of the text's features that each stream takes; equal to the stream's where they are not
  // projected.
  int64_t text_width = 3840, sound_text_width = 3840;
  bool project_text = true;
  bool prompt_by_time = true;  // modulated prompts: keys and values follow time too
  bool cross_time = false;     // sound ↔ video attention is modulated by the other stream's time
  bool attention_bias = true, attention_out_bias = true;
  double epsilon = 1e-6;
  enum class Rope { kInterleaved, kSplit } rope = Rope::kSplit;
  double theta = 10000;
  int64_t most_seconds = 20, sound_most_seconds = 20;  // positions are fractions of these,
  int64_t most_height = 2048, most_width = 2048;       //   and of these pixels
  int64_t frames_a_latent = 8, pixels_a_latent = 32;   // of the video's autoencoder
  int64_t causal_offset = 1;                           // frames of the first latent
  double fps = 24;
  int64_t sample_rate = 16000, hop = 160, hops_a_latent = 4;  // of the sound's
  double time_scale = 1000, gate_time_scale = 1000;
  bool keyed = false;  // of video with known latents
  bool weaker = false;
  std::vector<int64_t> skipped_attention;  // blocks that skipped rows skip
};

Ltx2Config ltx2_19b();  // LTX-2
Ltx2Config ltx2_3();    // LTX-2.3

// Called "dit", or "dit_keyed". Errors name what cannot be.
Result<Graph> build_ltx2_dit(const Ltx2Config& config);

}  // namespace zoetrope
