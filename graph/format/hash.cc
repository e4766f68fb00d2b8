#include "graph/format/hash.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace zoetrope {

uint64_t hash_bytes(std::span<const uint8_t> bytes) {
  return XXH3_64bits(bytes.data(), bytes.size());
}

}  // namespace zoetrope
