// How far one clip is from another.
#pragma once

#include <cstdint>
#include <span>

namespace zoetrope {

// Peak signal to noise ratio in decibels, of u8 values; 200 where all are equal.
double clip_psnr(std::span<const uint8_t> a, std::span<const uint8_t> b);

// Structural similarity (Wang et al. 2004) of the luma of frames [count, height, width, 3]: uniform
// windows of 7×7 (or the whole of a smaller frame), K1 0.01, K2 0.03, covariances of a sample; the
// mean over all places and frames. 1 where all are equal.
double clip_ssim(std::span<const uint8_t> a, std::span<const uint8_t> b, int64_t height,
                 int64_t width);

// Signal to noise ratio in decibels; 200 where all are equal, or where both are silent.
double sound_snr(std::span<const float> original, std::span<const float> other);

}  // namespace zoetrope
