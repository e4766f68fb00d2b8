// At most 256 colours for one picture, by median cut (Heckbert, 1982).
#pragma once

#include <cstdint>
#include <vector>

namespace zoetrope {

struct PaletteImage {
  std::vector<uint32_t> colours;  // 256 of 0xffRRGGBB; unused ones repeat the last
  std::vector<uint8_t> indices;   // [height * width]
};

// rgb [pixels, 3]. Colours are told apart by the upper five bits of each channel.
PaletteImage quantise_colours(const uint8_t* rgb, int64_t pixels);

}  // namespace zoetrope
