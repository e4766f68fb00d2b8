// Pictures at another size, as PyTorch's interpolate in mode "bilinear" without aligned corners.
#pragma once

#include <cstdint>
#include <span>

namespace zoetrope {

// from [height, width, channels], whose sides are multiples of `by`, to `to` of each `by` of its
// rows and columns: linear between the pixels' centres, edges repeated.
void scale_bilinear(std::span<const float> from, int64_t width, int64_t height, int64_t channels,
                    int64_t to, int64_t by, std::span<float> out);

}  // namespace zoetrope
