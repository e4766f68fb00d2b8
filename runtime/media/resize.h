// Pictures to another size: separable Lanczos with three lobes, widened where the picture gets
// smaller, so that nothing aliases. The same size gives the same bytes.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "graph/status.h"

namespace zoetrope {

enum class Fit {
  kCover,    // fills the target; what stands out is cut off evenly on both sides
  kContain,  // the whole picture; the rest of the target is background
  kStretch,  // the whole picture fills the target, whatever becomes of its shape
};

// "cover", "contain", "stretch".
Result<Fit> parse_fit(const std::string& name);

struct Rgb {
  uint8_t r = 0, g = 0, b = 0;
};

// rgb [height, width, 3] into [out_height, out_width, 3]. `pixel_aspect` is the width of a pixel of
// the source over its height; pixels of the target are square.
std::vector<uint8_t> resize(const std::vector<uint8_t>& rgb, int64_t width, int64_t height,
                            double pixel_aspect, Fit fit, int64_t out_width, int64_t out_height,
                            Rgb background);

}  // namespace zoetrope
