// The entries of a ZIP archive (APPNOTE 6.3, with ZIP64) that are stored without compression, as
// PyTorch writes them.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>

#include "graph/status.h"

namespace zoetrope {

struct ZipEntry {
  std::span<const uint8_t> bytes;
  uint32_t crc = 0;

  // Reads all bytes. A checksum of 0 is none: torch.save writes that when told not to compute any.
  Status check() const;
};

using ZipEntries = std::map<std::string, ZipEntry, std::less<>>;

// Every offset and length is checked, contents are not. Compressed or encrypted entries are
// kUnsupported.
Result<ZipEntries> read_zip(std::span<const uint8_t> archive);

}  // namespace zoetrope
