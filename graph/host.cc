#include "graph/host.h"

#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <string_view>
#include <vector>

#include "graph/line_reader.h"

namespace zoetrope {
namespace {

// First line of a small file, empty when it cannot be read.
std::string read_line(const std::string& path) {
  std::string line;
  LineReader(path).next(&line);
  return line;
}

// The next word between blanks, taken off `text`; empty behind the last.
std::string_view take_word(std::string_view* text) {
  text->remove_prefix(std::min(text->find_first_not_of(" \t"), text->size()));
  const std::string_view word = text->substr(0, text->find_first_of(" \t"));
  text->remove_prefix(word.size());
  return word;
}

// The next word as a positive number; 0: it is none, as "max".
int64_t take_number(std::string_view* text) {
  const std::string_view word = take_word(text);
  int64_t number = 0;
  const auto [end, code] = std::from_chars(word.data(), word.data() + word.size(), number);
  if (code == std::errc::result_out_of_range) return INT64_MAX;
  return code == std::errc() && end == word.data() + word.size() ? std::max<int64_t>(number, 0) : 0;
}

bool lists(std::string_view names, std::string_view name) {
  for (size_t at = 0; at <= names.size();) {
    const size_t end = std::min(names.find(',', at), names.size());
    if (names.substr(at, end - at) == name) return true;
    at = end + 1;
  }
  return false;
}

// mountinfo writes blanks, tabs, newlines and backslashes as \ooo.
std::string unescape(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool octal = text[i] == '\\' && i + 3 < text.size() &&
                       text.find_first_not_of("01234567", i + 1) >= i + 4;
    out += octal ? static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 +
                                     text[i + 3] - '0')
                 : text[i];
    if (octal) i += 3;
  }
  return out;
}

// Where a hierarchy of cgroups is mounted, and which of its folders is seen there.
struct Mount {
  std::string folder, point;
};

// The v1 hierarchy of a controller, or with "" that of v2. proc(5), /proc/pid/mountinfo:
// "31 23 0:28 FOLDER POINT OPTIONS [TAGS...] - TYPE SOURCE SUPER_OPTIONS"
std::vector<Mount> mounts_of(const HostView& host, std::string_view controller) {
  std::vector<Mount> mounts;
  LineReader in(host.root + "/proc/self/mountinfo");
  for (std::string line; in.next(&line);) {
    const size_t dash = line.find(" - ");
    if (dash == std::string::npos) continue;
    std::string_view left = std::string_view(line).substr(0, dash);
    std::string_view right = std::string_view(line).substr(dash + 3);
    for (int skipped = 0; skipped < 3; ++skipped) take_word(&left);
    const std::string_view folder = take_word(&left), point = take_word(&left);
    const std::string_view type = take_word(&right);
    take_word(&right);
    const std::string_view options = take_word(&right);
    const bool wanted =
        controller.empty() ? type == "cgroup2" : type == "cgroup" && lists(options, controller);
    if (wanted) mounts.push_back({unescape(folder), unescape(point)});
  }
  return mounts;
}

// The process's place in a hierarchy: "ID:CONTROLLERS:PATH" of /proc/self/cgroup, v2's with no
// controllers. Empty: it has none.
std::string place_in(const HostView& host, std::string_view controller) {
  LineReader in(host.root + "/proc/self/cgroup");
  for (std::string line; in.next(&line);) {
    const size_t first = line.find(':');
    const size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string_view names = std::string_view(line).substr(first + 1, second - first - 1);
    if (controller.empty() ? names.empty() : lists(names, controller))
      return line.substr(second + 1);
  }
  return "";
}

// The folders of the process's cgroup and of all that it is nested in, as far as they can be seen.
std::vector<std::string> cgroup_folders(const HostView& host, std::string_view controller) {
  std::vector<std::string> folders;
  const std::string place = place_in(host, controller);
  if (place.empty()) return folders;
  for (const Mount& mount : mounts_of(host, controller)) {
    // In a container the mount shows the container's own folder as its top, while the place may
    // still be told from the machine's top.
    const std::string top = mount.folder == "/" ? "" : mount.folder;
    std::string below = place == "/" ? "" : place;
    const bool inside = below.compare(0, top.size(), top) == 0 &&
                        (below.size() == top.size() || below[top.size()] == '/');
    below = inside ? below.substr(top.size()) : "";
    while (true) {
      folders.push_back(host.root + mount.point + below);
      if (below.empty()) break;
      below.resize(below.rfind('/') == std::string::npos ? 0 : below.rfind('/'));
    }
  }
  return folders;
}

// CPUs' worth of time that the cgroups grant; infinity when unlimited.
double quota(const HostView& host) {
  double least = INFINITY;
  const auto tighten = [&](std::string_view line) {
    const int64_t granted = take_number(&line), period = take_number(&line);
    if (granted > 0 && period > 0)
      least = std::min(least, static_cast<double>(granted) / static_cast<double>(period));
  };
  for (const std::string& folder : cgroup_folders(host, ""))
    tighten(read_line(folder + "/cpu.max"));  // "max 100000" is no number
  for (const std::string& folder : cgroup_folders(host, "cpu"))
    tighten(read_line(folder + "/cpu.cfs_quota_us") + " " +
            read_line(folder + "/cpu.cfs_period_us"));
  return least;
}

// Machines may have more CPUs than a cpu_set_t has room for.
int affinity() {
  for (int room = CPU_SETSIZE; room <= 1 << 20; room *= 2) {
    cpu_set_t* const set = CPU_ALLOC(static_cast<size_t>(room));
    if (set == nullptr) break;
    const size_t bytes = CPU_ALLOC_SIZE(static_cast<size_t>(room));
    CPU_ZERO_S(bytes, set);
    const bool known = sched_getaffinity(0, bytes, set) == 0;
    const bool larger = !known && errno == EINVAL;
    const int count = known ? CPU_COUNT_S(bytes, set) : 0;
    CPU_FREE(set);
    if (known) return std::max(count, 1);
    if (!larger) break;
  }
  return std::max(static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN)), 1);
}

}  // namespace

HostView this_host() {
  HostView host;
  host.cpus = affinity();
  host.memory = sysconf(_SC_PHYS_PAGES) * static_cast<int64_t>(sysconf(_SC_PAGESIZE));
  rlimit limit{};
  if (getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
    host.address_space = static_cast<int64_t>(std::min<rlim_t>(limit.rlim_cur, INT64_MAX));
  return host;
}

int usable_threads(const HostView& host) {
  // Rounded up: a quota of 1.5 still keeps two threads busy three quarters of the time.
  const double granted = std::ceil(quota(host));
  return std::max(granted < host.cpus ? static_cast<int>(granted) : host.cpus, 1);
}

int64_t usable_memory(const HostView& host) {
  int64_t bytes = host.memory;
  if (host.address_space > 0) bytes = std::min(bytes, host.address_space);
  const auto tighten = [&](const std::string& path) {
    const std::string line = read_line(path);  // "max" is no number; v1's "none" is a huge one
    std::string_view words = line;
    if (const int64_t limit = take_number(&words); limit > 0) bytes = std::min(bytes, limit);
  };
  for (const std::string& folder : cgroup_folders(host, ""))
    for (const char* name : {"/memory.max", "/memory.high"}) tighten(folder + name);
  for (const std::string& folder : cgroup_folders(host, "memory"))
    tighten(folder + "/memory.limit_in_bytes");
  // Containers with a /proc of their own (lxcfs) say there what they have.
  LineReader in(host.root + "/proc/meminfo");
  for (std::string line; in.next(&line);) {
    std::string_view words = line;
    if (take_word(&words) != "MemTotal:") continue;
    const int64_t kibibytes = take_number(&words);
    if (kibibytes > 0 && kibibytes < INT64_MAX / 1024) bytes = std::min(bytes, kibibytes * 1024);
  }
  return bytes;
}

int usable_threads() { return usable_threads(this_host()); }
int64_t usable_memory() { return usable_memory(this_host()); }

}  // namespace zoetrope
