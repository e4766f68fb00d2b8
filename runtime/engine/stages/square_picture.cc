#include "runtime/engine/stages/square_picture.h"

namespace zoetrope {

std::vector<float> square_picture(const Picture& picture, int64_t size, bool cover,
                                  bool antialias) {
  BicubicSpec spec{.width = size, .height = size, .antialias = antialias};
  if (cover) {  // longer sides are rounded down
    if (picture.width > picture.height)
      spec.width = size * picture.width / picture.height;
    else
      spec.height = size * picture.height / picture.width;
  }
  spec.left = (spec.width - size) / 2;
  spec.top = (spec.height - size) / 2;
  spec.columns = spec.rows = size;
  std::vector<float> values = resize_bicubic(picture, spec);
  for (float& value : values) value = value / 127.5f - 1.0f;
  return values;
}

}  // namespace zoetrope
