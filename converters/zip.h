// Names and places of the entries of a ZIP archive (APPNOTE 6.3, with ZIP64) whose entries are
// stored without compression, as PyTorch writes them.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>

#include "graph/status.h"

namespace zoetrope {

using ZipEntries = std::map<std::string, std::span<const uint8_t>, std::less<>>;

// Every offset and length is checked. Compressed or encrypted entries are kUnsupported.
Result<ZipEntries> read_zip(std::span<const uint8_t> archive);

}  // namespace zoetrope
