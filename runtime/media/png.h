// PNG images, 8-bit RGB.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "graph/status.h"

namespace zoetrope {

std::vector<uint8_t> encode_png(const uint8_t* rgb, int64_t width, int64_t height);

}  // namespace zoetrope
