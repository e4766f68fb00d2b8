// LTX-2's sound to latents: a spectrogram, then its autoencoder's encoder.
//   sound_encoder  sound [batch, frames · samples(), channels], at `given_rate`
//                  → mean [batch, frames, latent_channels · latent_bins], unnormalised
// LTX-2's sound from latents: its autoencoder's decoder to a mel spectrogram, then the vocoder
// (diffusers' autoencoder_kl_ltx2_audio.py and pipelines/ltx2/vocoder.py).
//   sound_decoder  latents [batch, frames, latent_channels · latent_bins], unnormalised
//                  → sound [batch, frames · samples(), channels] in [−1, 1]
// The first latent stands for one frame of the spectrogram, later ones for four: silence fills the
// end. Weights carry diffusers' names under "audio_vae." and "vocoder.", convolutions channels
// last; the spectrogram is "mel" [batch, time, bins, channels].
#pragma once

#include <optional>
#include <vector>

#include "graph/graph.h"
#include "models/ltx2/vocoder.h"

namespace zoetrope {

struct Ltx2SoundConfig {
  int64_t channels = 2, latent_channels = 8, latent_bins = 16, bins = 64;
  int64_t base = 128;
  std::vector<int64_t> levels{1, 2, 4};  // times base, finest first
  int64_t blocks = 2;                    // residual blocks a level of the encoder; one more here

  // Of spectrograms of given sound: magnitudes under Hann's window, centred, in Slaney's bins.
  int64_t sample_rate = 16000, hop = 160, window = 1024;
  int64_t given_rate = 24000;  // before that: what comes out has it too

  Ltx2Generator vocoder;
  std::optional<Ltx2Bandwidth> bandwidth = std::nullopt;  // 2.3

  int64_t mel_frames_a_latent() const { return int64_t{1} << (levels.size() - 1); }
  int64_t samples_in() const { return mel_frames_a_latent() * hop; }  // a latent
  int64_t samples() const;                                            // likewise, as they come out
  // Whether a latent lasts as long on either side.
  bool rates_agree() const { return samples() * sample_rate == samples_in() * given_rate; }
};

Ltx2SoundConfig ltx2_3_sound();  // LTX-2.3: 48 kHz

Result<Graph> build_ltx2_sound_encoder(const Ltx2SoundConfig& config);
Result<Graph> build_ltx2_sound_decoder(const Ltx2SoundConfig& config);

}  // namespace zoetrope
