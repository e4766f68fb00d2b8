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

// Of a file's boxes (read_iso_boxes) as far as they are there.
HeifInfo read_heif(std::span<const uint8_t> boxes);

}  // namespace zoetrope
