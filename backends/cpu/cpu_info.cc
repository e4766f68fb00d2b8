#include "backends/cpu/cpu_info.h"

#include <cpuid.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <sstream>

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

// First line of a small file, empty when it cannot be read.
std::string read_line(const std::string& path) {
  std::ifstream in(path);
  std::string line;
  std::getline(in, line);
  return line;
}

// The folders of this process's cgroup and of its ancestors, for a v1 controller or ("") for v2.
std::vector<std::string> cgroup_folders(std::string_view controller) {
  std::ifstream in("/proc/self/cgroup");
  std::string line, path = "/";
  bool found = false;
  while (std::getline(in, line)) {
    const size_t first = line.find(':');
    const size_t second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    std::stringstream names(line.substr(first + 1, second - first - 1));
    std::string name;
    bool match = controller.empty() && first + 1 == second;
    while (std::getline(names, name, ',')) match |= !controller.empty() && name == controller;
    if (!match) continue;
    path = line.substr(second + 1);
    found = true;
  }
  std::vector<std::string> folders;
  if (!found && !controller.empty()) return folders;
  const std::string root =
      controller.empty() ? "/sys/fs/cgroup" : "/sys/fs/cgroup/" + std::string(controller);
  while (true) {
    folders.push_back(root + (path == "/" ? "" : path));
    if (path.empty() || path == "/") break;
    path = path.substr(0, path.rfind('/'));
    if (path.empty()) path = "/";
  }
  return folders;
}

// CPUs' worth of time that the cgroups grant; infinity when unlimited.
double quota() {
  double least = INFINITY;
  for (const std::string& folder : cgroup_folders("")) {
    std::istringstream in(read_line(folder + "/cpu.max"));
    double granted = 0, period = 0;
    if (in >> granted >> period && granted > 0 && period > 0)
      least = std::min(least, granted / period);
  }
  for (const char* controller : {"cpu", "cpu,cpuacct"}) {
    for (std::string folder : cgroup_folders("cpu")) {
      folder.replace(0, std::string("/sys/fs/cgroup/cpu").size(),
                     "/sys/fs/cgroup/" + std::string(controller));
      std::istringstream granted_in(read_line(folder + "/cpu.cfs_quota_us"));
      std::istringstream period_in(read_line(folder + "/cpu.cfs_period_us"));
      double granted = 0, period = 0;
      if (granted_in >> granted && period_in >> period && granted > 0 && period > 0)
        least = std::min(least, granted / period);
    }
  }
  return least;
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
  std::ifstream in("/proc/cpuinfo");
  std::string line;
  while (std::getline(in, line)) {
    if (line.rfind("model name", 0) != 0) continue;
    const size_t colon = line.find(": ");
    if (colon != std::string::npos) return line.substr(colon + 2);
  }
  return "x86-64";
}

int usable_threads() {
  cpu_set_t set;
  CPU_ZERO(&set);
  int count = 1;
  if (sched_getaffinity(0, sizeof set, &set) == 0)
    count = std::max(CPU_COUNT(&set), 1);
  else
    count = std::max(static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN)), 1);
  const double granted = quota();
  // Rounded up: a quota of 1.5 still keeps two threads busy three quarters of the time.
  if (granted < count) count = std::max(static_cast<int>(std::ceil(granted)), 1);
  return count;
}

int64_t usable_memory() {
  int64_t bytes = sysconf(_SC_PHYS_PAGES) * static_cast<int64_t>(sysconf(_SC_PAGESIZE));
  const auto tighten = [&](const std::string& path) {
    std::istringstream in(read_line(path));
    int64_t limit = 0;
    if (in >> limit && limit > 0) bytes = std::min(bytes, limit);
  };
  for (const std::string& folder : cgroup_folders("")) tighten(folder + "/memory.max");
  for (const std::string& folder : cgroup_folders("memory"))
    tighten(folder + "/memory.limit_in_bytes");
  return bytes;
}

}  // namespace zoetrope::cpu
