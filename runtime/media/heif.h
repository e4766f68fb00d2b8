// What a HEIF or AVIF picture's boxes say that decoders leave to the application (ISO/IEC
// 23008-12).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace zoetrope {

struct HeifInfo {
  std::string brand;             // "heic", "avif", ...; empty: the file is neither
  std::string primary_type;      // of the item that is shown: "hvc1", "av01", "grid", ...
  int orientation = 1;           // of irot and imir, as EXIF has it
  bool alpha = false;            // an auxiliary item holds transparency; of sequences, too
  std::vector<uint8_t> profile;  // ICC; empty: none

  // "HEIC" or "AVIF".
  const char* name() const { return brand.rfind("avi", 0) == 0 ? "AVIF" : "HEIC"; }
};

HeifInfo read_heif(std::span<const uint8_t> file);

}  // namespace zoetrope
