#include "backends/cpu/cpu_info.h"

#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "graph/line_reader.h"

namespace zoetrope::cpu {
namespace {

constexpr std::string_view kNames[] = {"sse4", "avx2", "avx512", "avx512_bf16", "amx"};

bool bit(unsigned value, int index) { return (value >> index & 1u) != 0; }

// Which register files the operating system saves.
uint64_t xcr0() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (!__get_cpuid(1, &a, &b, &c, &d) || !bit(c, 27)) return 0;
  unsigned low = 0, high = 0;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return static_cast<uint64_t>(high) << 32 | low;
}

// Linux hands out the tile registers on request only.
bool request_tiles() {
#if defined(__linux__) && defined(SYS_arch_prctl)
  constexpr int kRequestPermission = 0x1023;
  constexpr int kTileData = 18;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}

}  // namespace

std::string_view isa_name(Isa isa) { return kNames[static_cast<size_t>(isa)]; }

Result<Isa> detect_isa() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (!__get_cpuid(1, &a, &b, &c, &d) || !bit(c, 19) || !bit(c, 20) || !bit(c, 1) || !bit(c, 25))
    return error(Code::kUnavailable, "this processor lacks SSE4.2, the least that is supported");
  const unsigned c1 = c;
  const uint64_t saved = xcr0();
  unsigned b7 = 0, d7 = 0;
  if (!__get_cpuid_count(7, 0, &a, &b7, &c, &d7)) b7 = d7 = 0;
  // FMA, F16C, AVX2 and BMI2, which every AVX2 kernel may use.
  if ((saved & 0x6) != 0x6 || !bit(c1, 12) || !bit(c1, 29) || !bit(b7, 5) || !bit(b7, 8))
    return Isa::kSse4;
  const bool avx512 = bit(b7, 16) && bit(b7, 17) && bit(b7, 30) && bit(b7, 31) && bit(b7, 28);
  if ((saved & 0xe6) != 0xe6 || !avx512) return Isa::kAvx2;
  unsigned a71 = 0;
  if (!__get_cpuid_count(7, 1, &a71, &b, &c, &d)) a71 = 0;
  if (!bit(a71, 5)) return Isa::kAvx512;
  if ((saved & 0x60000) != 0x60000 || !bit(d7, 24) || !bit(d7, 22) || !request_tiles())
    return Isa::kAvx512Bf16;
  return Isa::kAmx;
}

Result<Isa> parse_isa(std::string_view name, Isa machine) {
  std::string known;
  for (size_t i = 0; i < std::size(kNames); ++i) {
    known += str(i ? ", " : "", kNames[i]);
    if (name != kNames[i]) continue;
    if (static_cast<Isa>(i) > machine)
      return error(Code::kUnavailable, "this machine has ", isa_name(machine), ", not ", name);
    return static_cast<Isa>(i);
  }
  return error(Code::kInvalidArgument, "unknown instruction set '", name, "'; known: ", known);
}

std::vector<std::string> feature_names(Isa isa) {
  std::vector<std::string> names;
  for (size_t i = 0; i <= static_cast<size_t>(isa); ++i)
    names.emplace_back(kNames[i] == "amx" ? "amx_bf16" : kNames[i]);
  return names;
}

std::string processor_name() {
  LineReader in("/proc/cpuinfo");
  for (std::string line; in.next(&line);) {
    if (!line.starts_with("model name")) continue;
    const size_t colon = line.find(": ");
    if (colon != std::string::npos) return line.substr(colon + 2);
  }
  return "x86-64";
}

}  // namespace zoetrope::cpu
