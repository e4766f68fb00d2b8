// Light to sRGB: high dynamic range brought down, wide gamuts narrowed.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace zoetrope {

struct Light {
  enum Transfer {
    kGamma,   // sRGB's, or near enough (BT.709, BT.601, BT.2020 as displays show them)
    kPq,      // SMPTE ST 2084
    kHlg,     // ARIB STD-B67
    kLinear,  // 1 is white
  };
  enum Primaries { kBt709, kBt2020, kDisplayP3 };
  Transfer transfer = kGamma;
  Primaries primaries = kBt709;

  bool is_srgb() const { return transfer == kGamma && primaries == kBt709; }
};

// rgb [pixels, 3], 16 bits full range, coded as `light` says. Diffuse white is 203 cd/m2 (ITU-R
// BT.2408); light up to 0.8 of it stays as it is, and what is brighter, up to 1000 cd/m2, is
// compressed into the rest.
std::vector<uint8_t> to_srgb(std::span<const uint16_t> rgb, const Light& light);

}  // namespace zoetrope
