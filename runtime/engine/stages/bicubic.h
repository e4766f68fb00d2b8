// Pictures resized as the libraries that models were trained with resize them.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace zoetrope {

// pixels [height, width, 3] to [to_height, to_width, 3], in columns and then in rows, cut off at
// the edges. With `antialias` the kernel (a = −1/2) widens where the picture gets smaller and every
// pass is rounded to u8, as PIL; else a = −3/4 at the pixels' centres, edges repeated, unrounded,
// as PyTorch's interpolate. Values 0 to 255, beyond where unrounded.
std::vector<float> resize_bicubic(std::span<const uint8_t> pixels, int64_t width, int64_t height,
                                  int64_t to_width, int64_t to_height, bool antialias);

}  // namespace zoetrope
