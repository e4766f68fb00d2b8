// Colour profiles that pictures carry, by Little CMS.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "graph/status.h"
#include "runtime/media/png_reading.h"

namespace zoetrope {

// The profile of these colours; empty where they are none. libpng takes a gamma within 5% of 1
// / 2.2 for sRGB's.
std::vector<uint8_t> icc_profile_of(const PngColours& colours);

enum IccColours { kRgbOrGray, kInks };  // kInks: CMYK

// From a profile's colours to sRGB, by the intent that the profile names.
class IccTransform {
 public:
  // Of profiles of these colours, whatever they are made of (curves, matrices, tables).
  // kUnsupported for other kinds, kDataLoss for damaged ones.
  static Result<std::shared_ptr<const IccTransform>> create(std::span<const uint8_t> profile,
                                                            IccColours colours = kRgbOrGray);
  ~IccTransform();
  IccTransform(const IccTransform&) = delete;
  IccTransform& operator=(const IccTransform&) = delete;

  // Of RGB and gray: within one level of sRGB everywhere, nothing to convert.
  bool is_srgb() const;
  // colours [pixels, 3], or of inks [pixels, 4], 16 bits full range; a gray profile reads the first
  // of each three. Returns RGB.
  std::vector<uint8_t> apply(std::span<const uint16_t> colours) const;

 private:
  struct Handles;
  explicit IccTransform(std::unique_ptr<Handles> handles);

  std::unique_ptr<Handles> handles_;
};

}  // namespace zoetrope
