// What the processor can do.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "graph/status.h"

namespace zoetrope::cpu {

// Levels build on each other; kernels ask for the least that they need.
enum class Isa : uint8_t { kSse4, kAvx2, kAvx512, kAvx512Bf16, kAmx };

std::string_view isa_name(Isa isa);  // "sse4", "avx2", "avx512", "avx512_bf16", "amx"

// The best level of this machine and operating system; an error where even SSE4.2 is missing.
Result<Isa> detect_isa();
// The level that a test or a user asks for; an error when unknown or beyond the machine.
Result<Isa> parse_isa(std::string_view name, Isa machine);

// All features up to `isa`, as DeviceInfo lists them.
std::vector<std::string> feature_names(Isa isa);

std::string processor_name();

}  // namespace zoetrope::cpu
