// Animated pictures, frame drawn over frame.
#pragma once

#include <string>

#include "runtime/media/animation.h"
#include "runtime/media/ffmpeg/input.h"

namespace zoetrope {

// `id`: of the frames' stills. An error in place of an animation is passed on.
Status use_animation(const Result<Animation>& animation, AVCodecID id, const std::string& path,
                     int orientation, const UsePicture& use);

}  // namespace zoetrope
