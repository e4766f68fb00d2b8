#pragma once

#include <cstdint>
#include <span>

namespace zoetrope {

// XXH3-64 with seed 0.
uint64_t hash_bytes(std::span<const uint8_t> bytes);

}  // namespace zoetrope
