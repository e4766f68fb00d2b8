// Pictures as encoders of features take them.
#pragma once

#include "runtime/engine/stages/bicubic.h"

namespace zoetrope {

// [size, size, 3] in [-1, 1], resized by resize_bicubic: the shorter side becomes `size` and the
// middle is cut out (cover), or both sides become it.
std::vector<float> square_picture(const Picture& picture, int64_t size, bool cover, bool antialias);

}  // namespace zoetrope
