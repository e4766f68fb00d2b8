// LTX-2's sound from latents: its autoencoder's decoder to a mel spectrogram, then the vocoder
// (diffusers' autoencoder_kl_ltx2_audio.py and pipelines/ltx2/vocoder.py).
//   sound_decoder  latents [batch, frames, latent_channels · latent_bins], unnormalised
//                  → sound [batch, frames · samples(), channels] in [−1, 1]
// The first latent stands for one frame of the spectrogram, later ones for four: silence fills the
// end. Weights carry diffusers' names under "audio_vae." and "vocoder.", convolutions channels
// last; the spectrogram is "mel" [batch, time, bins, channels].
#pragma once

#include <vector>

#include "graph/graph.h"

namespace zoetrope {

struct Ltx2SoundConfig {
  int64_t channels = 2, latent_channels = 8, latent_bins = 16, bins = 64;
  int64_t base = 128;
  std::vector<int64_t> levels{1, 2, 4};  // times base, finest first
  int64_t blocks = 2;                    // residual blocks a level of the encoder; one more here

  int64_t width = 1024;  // of the vocoder's first layer, halved by each upsampling
  struct Up {
    int64_t factor, kernel;
  };
  std::vector<Up> ups{{6, 16}, {5, 15}, {2, 8}, {2, 4}, {2, 4}};
  struct Kernel {
    int64_t size;
    std::vector<int64_t> dilations;
  };
  std::vector<Kernel> kernels{{3, {1, 3, 5}}, {7, {1, 3, 5}}, {11, {1, 3, 5}}};
  double slope = 0.1;  // of leaky ReLUs
  bool final_bias = true;
  enum class Final { kTanh, kClamp, kNone } final = Final::kTanh;

  int64_t mel_frames_a_latent() const { return int64_t{1} << (levels.size() - 1); }
  int64_t samples() const;  // a latent
};

Result<Graph> build_ltx2_sound_decoder(const Ltx2SoundConfig& config);

}  // namespace zoetrope
