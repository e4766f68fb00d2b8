// The frames of an animated WebP file (RIFF container, "WebP Container Specification").
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "graph/status.h"
#include "runtime/media/animation.h"

namespace zoetrope {

// Takes the next chunk off `rest`, which begins behind "RIFF", its size and "WEBP"; false at the
// end, or where the chunk is cut off.
bool next_riff_chunk(std::span<const uint8_t>* rest, std::string_view* name,
                     std::span<const uint8_t>* data);

bool is_animated_webp(std::span<const uint8_t> file);

// Of `file`, which outlives it. Errors say what is damaged. Frames that a cut file lacks are left
// out.
Result<Animation> split_webp(std::span<const uint8_t> file);

}  // namespace zoetrope
