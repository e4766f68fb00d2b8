#include "runtime/media/orientation.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string_view>

#include "runtime/media/jpeg.h"
#include "runtime/media/png.h"
#include "runtime/media/png_reading.h"
#include "runtime/media/riff_webp.h"
#include "runtime/media/tiff.h"

namespace zoetrope {
namespace {

using Bytes = std::span<const uint8_t>;

bool has(Bytes b, size_t at, std::string_view text) {
  return at <= b.size() && b.size() - at >= text.size() &&
         std::memcmp(b.data() + at, text.data(), text.size()) == 0;
}

int tiff_orientation(Bytes b) {
  const uint64_t value = tiff_value(b, 0x0112).value_or(kUpright);
  return value >= 1 && value <= 8 ? static_cast<int>(value) : kUpright;
}

int jpeg_orientation(Bytes b) {
  constexpr std::string_view kPreface("Exif\0\0", 6);
  Bytes rest = b.subspan(2), data;
  uint8_t marker = 0;
  while (next_jpeg_segment(&rest, &marker, &data) && marker != kJpegScan && marker != kJpegEnd)
    if (marker == kJpegExif && has(data, 0, kPreface))
      return tiff_orientation(data.subspan(kPreface.size()));
  return kUpright;
}

int png_orientation(Bytes b) {
  Bytes rest = b.subspan(8), data;
  std::string_view type;
  while (next_png_chunk(&rest, &type, &data))
    if (type == "eXIf") return tiff_orientation(data);
  return tiff_orientation(png_text_exif(b));
}

int webp_orientation(Bytes b) {
  constexpr std::string_view kPreface("Exif\0\0", 6);
  Bytes rest = b.subspan(12), data;
  std::string_view name;
  while (next_riff_chunk(&rest, &name, &data))
    if (name == "EXIF")
      return tiff_orientation(has(data, 0, kPreface) ? data.subspan(kPreface.size()) : data);
  return kUpright;
}

}  // namespace

int exif_orientation(Bytes file) {
  if (has(file, 0, "\xff\xd8")) return jpeg_orientation(file);
  if (has(file, 0, "\x89PNG\r\n\x1a\n")) return png_orientation(file);
  if (has(file, 0, "RIFF") && has(file, 8, "WEBP")) return webp_orientation(file);
  return tiff_orientation(file);
}

int matrix_orientation(double a, double b, double c, double d) {
  const bool mirrored = a * d - b * c < 0;
  if (std::abs(a) + std::abs(d) >= std::abs(b) + std::abs(c)) {
    if (mirrored) return a < 0 ? 2 : 4;
    return a < 0 ? 3 : kUpright;
  }
  if (mirrored) return b > 0 ? 5 : 7;
  return b > 0 ? 6 : 8;
}

bool turns_by_quarters(double a, double b, double c, double d) {
  constexpr double kTangent = 0.0175;  // of a degree
  const double along = std::min(std::abs(a), std::abs(d)),
               across = std::min(std::abs(b), std::abs(c)),
               most_along = std::max(std::abs(a), std::abs(d)),
               most_across = std::max(std::abs(b), std::abs(c));
  return most_across <= kTangent * along || most_along <= kTangent * across;
}

std::vector<uint8_t> turn(std::vector<uint8_t> rgb, int64_t width, int64_t height,
                          int orientation) {
  if (orientation == kUpright) return rgb;
  std::vector<uint8_t> out(rgb.size());
  const int64_t w = swaps_sides(orientation) ? height : width;
  const int64_t h = swaps_sides(orientation) ? width : height;
  for (int64_t y = 0; y < h; ++y)
    for (int64_t x = 0; x < w; ++x) {
      int64_t sx = x, sy = y;  // where the pixel is stored
      switch (orientation) {
        case 2: sx = width - 1 - x; break;
        case 3: sx = width - 1 - x, sy = height - 1 - y; break;
        case 4: sy = height - 1 - y; break;
        case 5: sx = y, sy = x; break;
        case 6: sx = y, sy = height - 1 - x; break;
        case 7: sx = width - 1 - y, sy = height - 1 - x; break;
        case 8: sx = width - 1 - y, sy = x; break;
      }
      std::memcpy(&out[static_cast<size_t>((y * w + x) * 3)],
                  &rgb[static_cast<size_t>((sy * width + sx) * 3)], 3);
    }
  return out;
}

}  // namespace zoetrope
