// Planted trees of /proc and /sys/fs/cgroup, as systemd, Docker, Kubernetes and LXC make them: the
// formats are those of proc(5), cgroups(7) and the kernel's cgroup-v1 and cgroup-v2 documents.
#include "graph/host.h"

#include <doctest/doctest.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "tests/support/temporary_folder.h"

namespace zoetrope {
namespace {

constexpr int64_t kGiB = int64_t{1} << 30;
constexpr const char* kV2Mount =
    "30 24 0:26 / /sys/fs/cgroup rw,nosuid,nodev shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";

class Tree {
 public:
  Tree() {
    host.root = folder_.path();
    host.cpus = 16;
    host.memory = 64 * kGiB;
  }
  Tree& put(const std::string& path, const std::string& text) {
    const std::filesystem::path whole = host.root + path;
    std::filesystem::create_directories(whole.parent_path());
    std::ofstream(whole) << text;
    return *this;
  }
  int threads() const { return usable_threads(host); }
  int64_t memory() const { return usable_memory(host); }

  HostView host;

 private:
  TemporaryFolder folder_;
};

TEST_CASE("without cgroups, all of the machine") {
  const Tree tree;
  CHECK(tree.threads() == 16);
  CHECK(tree.memory() == 64 * kGiB);
}

TEST_CASE("v2: the tightest of all nested groups counts") {
  Tree tree;
  tree.put("/proc/self/mountinfo", kV2Mount)
      .put("/proc/self/cgroup", "0::/user.slice/user-1000.slice/app.scope\n")
      .put("/sys/fs/cgroup/user.slice/user-1000.slice/app.scope/cpu.max", "max 100000\n")
      .put("/sys/fs/cgroup/user.slice/user-1000.slice/cpu.max", "350000 100000\n")
      .put("/sys/fs/cgroup/user.slice/cpu.max", "800000 100000\n")
      .put("/sys/fs/cgroup/user.slice/user-1000.slice/app.scope/memory.max", "max\n")
      .put("/sys/fs/cgroup/user.slice/memory.max", "8589934592\n");
  CHECK(tree.threads() == 4);
  CHECK(tree.memory() == 8 * kGiB);
  tree.put("/sys/fs/cgroup/user.slice/user-1000.slice/memory.high", "4294967296\n");
  CHECK(tree.memory() == 4 * kGiB);
  // Groups beside the process's own say nothing.
  tree.put("/sys/fs/cgroup/system.slice/cpu.max", "10000 100000\n")
      .put("/sys/fs/cgroup/user.slice/user-1000.slice/other.scope/memory.max", "4096\n");
  CHECK(tree.threads() == 4);
  CHECK(tree.memory() == 4 * kGiB);
}

TEST_CASE("v2 in a container with a cgroup namespace") {
  Tree tree;
  tree.put("/proc/self/mountinfo", kV2Mount)
      .put("/proc/self/cgroup", "0::/\n")
      .put("/sys/fs/cgroup/cpu.max", "50000 100000\n")
      .put("/sys/fs/cgroup/memory.max", "536870912\n");
  CHECK(tree.threads() == 1);
  CHECK(tree.memory() == kGiB / 2);
}

TEST_CASE("v1 in a container that sees its own folder as the top") {
  Tree tree;
  tree.put("/proc/self/mountinfo",
           "40 30 0:33 /docker/abc /sys/fs/cgroup/cpu,cpuacct ro - cgroup cgroup rw,cpu,cpuacct\n"
           "41 30 0:34 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n")
      .put("/proc/self/cgroup",
           "5:cpuacct,cpu:/docker/abc\n4:memory:/docker/abc/inner\n0::/docker/abc\n")
      .put("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "250000\n")
      .put("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n")
      .put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "2147483648\n")
      .put("/sys/fs/cgroup/memory/inner/memory.limit_in_bytes", "1073741824\n");
  CHECK(tree.threads() == 3);
  CHECK(tree.memory() == kGiB);
  // No limit is -1, and for memory the largest number of whole pages.
  tree.put("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n")
      .put("/sys/fs/cgroup/memory/inner/memory.limit_in_bytes", "9223372036854771712\n")
      .put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  CHECK(tree.threads() == 16);
  CHECK(tree.memory() == 64 * kGiB);
}

TEST_CASE("v1 and v2 side by side: each says what it controls") {
  Tree tree;
  tree.put("/proc/self/mountinfo",
           "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"
           "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
           "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n")
      .put("/proc/self/cgroup", "4:memory:/job\n2:cpuacct:/\n1:cpu:/job\n0::/job/leaf\n")
      .put("/sys/fs/cgroup/cpu/job/cpu.cfs_quota_us", "600000\n")
      .put("/sys/fs/cgroup/cpu/job/cpu.cfs_period_us", "100000\n")
      .put("/sys/fs/cgroup/memory/job/memory.limit_in_bytes", "17179869184\n")
      .put("/sys/fs/cgroup/unified/job/leaf/memory.high", "12884901888\n");
  CHECK(tree.threads() == 6);
  CHECK(tree.memory() == 12 * kGiB);
  tree.put("/sys/fs/cgroup/unified/job/cpu.max", "500000 100000\n");
  CHECK(tree.threads() == 5);
}

TEST_CASE("a mount point with a blank, and LXC's own /proc/meminfo") {
  Tree tree;
  tree.put("/proc/self/mountinfo", "30 24 0:26 / /mnt/my\\040groups rw - cgroup2 none rw\n")
      .put("/proc/self/cgroup", "0::/\n")
      .put("/mnt/my groups/cpu.max", "200000 100000\n")
      .put("/proc/meminfo", "MemTotal:        1048576 kB\nMemFree:   1 kB\n");
  CHECK(tree.threads() == 2);
  CHECK(tree.memory() == kGiB);
}

TEST_CASE("the address space is a limit too") {
  Tree tree;
  tree.host.address_space = 3 * kGiB;
  CHECK(tree.memory() == 3 * kGiB);
}

TEST_CASE("damaged files say nothing") {
  for (const char* text :
       {"", "\n", ":", "::", "0:", "0::/a/b", "max", "-5 -5", "0 0", "\xff\xfe"}) {
    CAPTURE(text);
    Tree tree;
    tree.put("/proc/self/mountinfo", std::string(kV2Mount) + text)
        .put("/proc/self/cgroup", std::string(text) + "\n0::/\n")
        .put("/sys/fs/cgroup/cpu.max", text)
        .put("/sys/fs/cgroup/memory.max", text)
        .put("/proc/meminfo", text);
    CHECK(tree.threads() == 16);
    CHECK(tree.memory() == 64 * kGiB);
  }
}

TEST_CASE("this process: taskset narrows the threads, ulimit -v the memory") {
  CHECK(usable_threads() >= 1);
  CHECK(usable_memory() > (int64_t{1} << 20));
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    cpu_set_t set;
    sched_getaffinity(0, sizeof set, &set);
    int first = 0;
    while (!CPU_ISSET(first, &set)) ++first;
    CPU_ZERO(&set);
    CPU_SET(first, &set);
    sched_setaffinity(0, sizeof set, &set);
    const bool one = usable_threads() == 1;
    const rlimit limit{static_cast<rlim_t>(5) << 40, RLIM_INFINITY};  // sanitizers map terabytes
    HostView host = this_host();
    const bool unlimited = host.address_space == 0;
    setrlimit(RLIMIT_AS, &limit);
    host = this_host();
    const bool limited = !unlimited || host.address_space == int64_t{5} << 40;
    _exit(one && limited ? 0 : 1);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(status == 0);
}

}  // namespace
}  // namespace zoetrope
