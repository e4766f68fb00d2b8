// Spectrograms, or latents, to sound: HiFi-GAN's network (LTX-2) or BigVGAN's (2.3, MiniMax-H3),
// and the second one that widens the first one's band (diffusers' pipelines/ltx2/vocoder.py).
#pragma once

#include <optional>
#include <vector>

#include "graph/builder.h"

namespace zoetrope {

// One network: a convolution, upsamplings with residual blocks side by side, a convolution.
struct Ltx2Generator {
  int64_t width = 1024;  // of the first layer, halved by each upsampling
  struct Up {
    int64_t factor, kernel;
  };
  std::vector<Up> ups{{6, 16}, {5, 15}, {2, 8}, {2, 4}, {2, 4}};
  struct Kernel {
    int64_t size;
    std::vector<int64_t> dilations;
  };
  std::vector<Kernel> kernels{{3, {1, 3, 5}}, {7, {1, 3, 5}}, {11, {1, 3, 5}}};
  // Snakes: x + sin²(αx)/β with a weight a channel for the logarithms of α and, but for kSnake, β.
  enum class Activation { kLeaky, kSnake, kSnakeBeta } activation = Activation::kLeaky;
  double slope = 0.1;  // of leaky ReLUs
  // Snakes work on more samples: between resamplings by `ratio` with filters of `filter` taps that
  // the checkpoint has. The last snake always does.
  bool antialias = false;
  int64_t ratio = 2, filter = 12;
  bool final_bias = true;
  bool weight_norm = false;  // filters are stored as weight_g and weight_v (normed_filter)
  enum class Final { kTanh, kClamp, kNone } final = Final::kTanh;

  // Of a frame's samples; above kMostFactor what is too much.
  static constexpr int64_t kMostFactor = 1 << 20;
  int64_t factor() const;
};

// The second network hears a spectrogram of the first one's sound and adds what lies above it.
struct Ltx2Bandwidth {
  Ltx2Generator generator;
  int64_t window = 512, hop = 80, bins = 64;
  int64_t ratio = 3;  // of sample rates
};

namespace ltx2 {

// The product of numbers of at least 1, or `most` + 1 where it is more than `most`.
template <typename Numbers>
int64_t bounded_product(const Numbers& numbers, int64_t most) {
  int64_t product = 1;
  for (const int64_t n : numbers) {
    if (n < 1 || product > most / n) return most + 1;
    product *= n;
  }
  return product;
}

// [batch, n, c]
struct Wave {
  ValueId value;
  Dim n;
  int64_t c;
};

// A filter of a convolution, [channels, kernel, from], that a checkpoint has as length and
// direction (arXiv 1602.07868): "weight_g" [channels] · "weight_v" / ‖weight_v‖, PyTorch's axes. Of
// a transposed one, with `from` first, lengths are by input.
ValueId normed_filter(Builder& b, int64_t channels, int64_t kernel, int64_t from,
                      bool transposed = false);

Status check_generator(const Ltx2Generator& config);
Status check_bandwidth(const Ltx2Bandwidth& config);

// mel [batch, n, channels of sound · bins] → [batch, factor() · n, channels]. Weights carry
// diffusers' names in the open scope.
Wave generate(Builder& b, const Ltx2Generator& config, const Dim& batch, Wave mel,
              int64_t channels);
// A sound to `ratio` times as many samples, in [-1, 1]. Weights are "bwe_generator" and
// "mel_stft".
Wave widen_band(Builder& b, const Ltx2Bandwidth& config, const Dim& batch, const Wave& low);

}  // namespace ltx2
}  // namespace zoetrope
