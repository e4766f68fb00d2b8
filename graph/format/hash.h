#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "graph/status.h"

namespace zoetrope {

// XXH3-64 with seed 0: finds what changed by accident, not what somebody forged.
uint64_t hash_bytes(std::span<const uint8_t> bytes);

// A hash as files of ours write it: "xxh3:0123456789abcdef".
std::string digest_text(uint64_t hash);
bool is_digest(std::string_view text);

// Of a whole regular file; errors name it.
Result<std::string> file_digest(const std::string& path);

}  // namespace zoetrope
