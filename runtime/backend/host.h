// How much of the machine this process may use.
#pragma once

#include <cstdint>

namespace zoetrope {

// Threads that the process may run at once: its affinity mask and the CPU quota of its cgroups.
int usable_threads();

// Physical memory, or the tightest limit of the process's cgroups.
int64_t usable_memory();

}  // namespace zoetrope
