// What kind of HEIF file it is, and what of animated ones decoders leave out (ISO/IEC 23008-12).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace zoetrope {

struct HeifInfo {
  bool still = false;          // HEIC, AVIF and others of one picture
  bool alpha = false;          // an auxiliary picture or track holds transparency
  bool premultiplied = false;  // of a sequence: its colours were multiplied by that
};

// Of a file's boxes as far as they are there.
HeifInfo read_heif(std::span<const uint8_t> boxes);

// The boxes that read_heif looks at, wherever in the file: a clip's `moov` may stand behind its
// data. Empty: it does not consist of boxes.
std::vector<uint8_t> read_heif_boxes(const std::string& path);

}  // namespace zoetrope
