// What PNG files say that FFmpeg's decoder leaves out (PNG specification, third edition).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "graph/status.h"
#include "runtime/media/animation.h"

namespace zoetrope {

bool is_animated_png(std::span<const uint8_t> file);

// Of `file`, which outlives it. Errors say what is damaged. Frames that a cut file lacks are left
// out, and so is a default image that is none of them.
Result<Animation> split_apng(std::span<const uint8_t> file);

// Gray of less than 8 bits with a transparent level, as a palette of grays with that transparency;
// none: the file is not of that kind.
std::optional<std::vector<uint8_t>> gray_as_palette(std::span<const uint8_t> file);

// What gAMA and cHRM say of the colours, in PNG's terms: levels are light to the power `gamma`; x
// and y of white, red, green and blue. Nothing where sRGB or iCCP outweigh them, or without gAMA.
struct PngColours {
  double gamma = 0;
  std::array<double, 8> chromaticities{0.3127, 0.329, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06};
};
std::optional<PngColours> png_colours(std::span<const uint8_t> file);

// ITU-T H.273's code points of the cICP chunk, which outweighs a profile.
struct CodePoints {
  int primaries = 0, transfer = 0;
};
std::optional<CodePoints> png_code_points(std::span<const uint8_t> file);

// EXIF that ImageMagick and others keep as hexadecimal text, from its TIFF header on; empty: none.
std::vector<uint8_t> png_text_exif(std::span<const uint8_t> file);

}  // namespace zoetrope
