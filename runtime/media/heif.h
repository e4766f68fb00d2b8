// What kind of HEIF file it is, and what of animated ones decoders leave out (ISO/IEC 23008-12).
#pragma once

#include <cstdint>
#include <span>

namespace zoetrope {

struct HeifInfo {
  bool still = false;          // HEIC, AVIF and others of one picture
  bool alpha = false;          // an auxiliary picture or track holds transparency
  bool premultiplied = false;  // of a sequence: its colours were multiplied by that
};

HeifInfo read_heif(std::span<const uint8_t> file);

}  // namespace zoetrope
