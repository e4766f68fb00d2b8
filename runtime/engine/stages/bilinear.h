// Pictures made larger, as PyTorch's interpolate in mode "bilinear" without aligned corners.
#pragma once

#include <cstdint>
#include <span>

namespace zoetrope {

// from [height, width, channels] to [scale·height, scale·width, channels]: linear between the
// pixels' centres, edges repeated.
void enlarge_bilinear(std::span<const float> from, int64_t width, int64_t height, int64_t channels,
                      int64_t scale, std::span<float> to);

}  // namespace zoetrope
