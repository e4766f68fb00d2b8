#include "runtime/backend/host.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace zoetrope {
namespace {

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

}  // namespace zoetrope
