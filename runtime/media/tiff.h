// Numbers of TIFF files, and of the EXIF in others: the first directory (TIFF 6.0, section 2).
#pragma once

#include <cstdint>
#include <optional>
#include <span>

namespace zoetrope {

// The first value of a tag, fractions rounded down; none: it is not there.
std::optional<uint64_t> tiff_value(std::span<const uint8_t> file, int tag);

}  // namespace zoetrope
