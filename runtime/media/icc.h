// Colour profiles of RGB pictures: three primaries and three curves (ICC.1:2022, matrix-based
// profiles), as cameras, phones and editors embed them.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace zoetrope {

struct IccProfile {
  std::array<std::vector<float>, 3> curves;            // 65536 entries: code to linear light
  std::array<std::array<double, 3>, 3> to_bt709 = {};  // rows: linear light to BT.709's

  // Within one level of sRGB everywhere: nothing to convert.
  bool is_srgb() const;
};

// Nothing for profiles of another kind, or damaged ones.
std::optional<IccProfile> parse_icc(std::span<const uint8_t> bytes);

// rgb [pixels, 3], 16 bits full range; what sRGB cannot show is clipped.
std::vector<uint8_t> to_srgb(std::span<const uint16_t> rgb, const IccProfile& profile);

}  // namespace zoetrope
