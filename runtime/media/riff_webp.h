// The frames of an animated WebP file (RIFF container, "WebP Container Specification").
#pragma once

#include <span>

#include "graph/status.h"
#include "runtime/media/animation.h"

namespace zoetrope {

bool is_animated_webp(std::span<const uint8_t> file);

// Errors say what is damaged. Frames that a cut file lacks are left out.
Result<Animation> split_webp(std::span<const uint8_t> file);

}  // namespace zoetrope
