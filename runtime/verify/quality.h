// How far pictures and sound are from others of the same size.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "graph/status.h"

namespace zoetrope {

// Equal bits have no error: shown and stored as this many decibels.
inline constexpr double kSameDecibels = 200;

// Peak signal to noise ratio of 8-bit values.
double psnr_u8(std::span<const uint8_t> a, std::span<const uint8_t> b);

// Mean structural similarity of luma (Rec. 601) of RGB frames [height, width, 3], with a Gaussian
// window of 11 and sigma 1.5 (Wang et al., IEEE Transactions on Image Processing 13(4), 2004); a
// frame narrower than the window is one window. 1 where they are the same.
double ssim_rgb(std::span<const uint8_t> a, std::span<const uint8_t> b, int64_t height,
                int64_t width);

// The mean over frames [count, height, width, 3]; 1 where there are none.
double ssim_frames(std::span<const uint8_t> a, std::span<const uint8_t> b, int64_t height,
                   int64_t width);

// 10·log10(Σ b² / Σ (a − b)²) of sound; `b` is the truth. The least where a value is no
// number.
double snr(std::span<const float> a, std::span<const float> b);

}  // namespace zoetrope
