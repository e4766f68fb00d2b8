// How much of the machine this process may use. Everything that asks for cores or memory asks here.
#pragma once

#include <cstdint>
#include <string>

namespace zoetrope {

// Where the answers come from. Tests plant trees of their own under `root`.
struct HostView {
  std::string root;    // what /proc and the cgroups' mount points stand below; "" is the machine
  int cpus = 1;        // of the affinity mask, which CPU sets and taskset narrow
  int64_t memory = 0;  // physical, bytes
  int64_t address_space = 0;  // bytes (ulimit -v); 0: no limit
};
HostView this_host();

// Threads worth running at once: the affinity mask, and the CPU quotas of the process's cgroups and
// all that they are nested in (v1, v2, or both side by side). A quota of 1.5 gives two.
int usable_threads(const HostView& host);
int usable_threads();

// Bytes: physical memory, the address space, or the tightest limit of those cgroups (hard limits,
// and v2's memory.high, above which a process is slowed down to nothing).
int64_t usable_memory(const HostView& host);
int64_t usable_memory();

}  // namespace zoetrope
