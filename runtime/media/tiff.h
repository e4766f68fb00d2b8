// Numbers of TIFF files, and of the EXIF in others: the first directory (TIFF 6.0, section 2).
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace zoetrope {

// `count` bytes from `at` as a number, the first byte the highest one (`big`) or the lowest; 0
// beyond the end.
uint64_t number_at(std::span<const uint8_t> bytes, size_t at, size_t count, bool big);

// The first value of a tag, fractions rounded down; none: it is not there.
std::optional<uint64_t> tiff_value(std::span<const uint8_t> file, int tag);

// The file with another value of a tag that is there and has one number, of 8, 16 or 32 bits.
std::vector<uint8_t> tiff_with(std::span<const uint8_t> file, int tag, uint16_t value);

}  // namespace zoetrope
