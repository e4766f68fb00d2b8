// Pictures resized as the libraries that models were trained with resize them.
#pragma once

#include <cstdint>
#include <vector>

namespace zoetrope {

// u8 RGB [height, width, 3]
struct Picture {
  const uint8_t* pixels;
  int64_t width, height;
};

// To width x height; of that only `columns` x `rows` at (left, top) are computed.
struct BicubicSpec {
  int64_t width = 0, height = 0;
  int64_t left = 0, top = 0, columns = 0, rows = 0;
  bool antialias = true;
};

// Gives [rows, columns, 3], 0 to 255. With `antialias` the kernel (a = −1/2) widens where the
// picture gets smaller, columns are resized before rows and each pass is rounded to u8, as in PIL
// (to version 12; 13 chooses the order). Else a = −3/4 around the pixels' centres, edges repeated,
// unrounded and not cut off, as PyTorch's interpolate.
std::vector<float> resize_bicubic(const Picture& picture, const BicubicSpec& spec);

}  // namespace zoetrope
