// Colour profiles that pictures carry, by Little CMS.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "graph/status.h"

namespace zoetrope {

// From a profile's colours to sRGB, by the intent that the profile names.
class IccTransform {
 public:
  // Of RGB and gray profiles, whatever they are made of (curves, matrices, tables). kUnsupported
  // for other kinds, kDataLoss for damaged ones.
  static Result<std::shared_ptr<const IccTransform>> create(std::span<const uint8_t> profile);
  ~IccTransform();
  IccTransform(const IccTransform&) = delete;
  IccTransform& operator=(const IccTransform&) = delete;

  // Within one level of sRGB everywhere: nothing to convert.
  bool is_srgb() const;
  // rgb [pixels, 3], 16 bits full range; a gray profile reads the first of each three.
  std::vector<uint8_t> apply(std::span<const uint16_t> rgb) const;

 private:
  struct Handles;
  explicit IccTransform(std::unique_ptr<Handles> handles);

  std::unique_ptr<Handles> handles_;
};

}  // namespace zoetrope
