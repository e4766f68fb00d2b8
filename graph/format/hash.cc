#include "graph/format/hash.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <cstdio>

#include "graph/format/mapped_file.h"
#include "graph/text.h"

namespace zoetrope {

uint64_t hash_bytes(std::span<const uint8_t> bytes) {
  return XXH3_64bits(bytes.data(), bytes.size());
}

namespace {
constexpr std::string_view kKind = "xxh3:";
}

std::string digest_text(uint64_t hash) {
  char digits[17];
  std::snprintf(digits, sizeof(digits), "%016llx", static_cast<unsigned long long>(hash));
  return str(kKind, digits);
}

bool is_digest(std::string_view text) {
  return text.starts_with(kKind) && text.size() == kKind.size() + 16 &&
         from_hex(text.substr(kKind.size())).has_value();
}

Result<std::string> file_digest(const std::string& path) {
  ZT_ASSIGN_OR_RETURN(const MappedFile file, MappedFile::open(path));
  return digest_text(hash_bytes(file.bytes()));
}

}  // namespace zoetrope
