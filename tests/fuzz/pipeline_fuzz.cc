// The semantic fuzzer: rewrites models, media, checkpoints and command lines and tries what comes
// of them, in processes of its own, so that a crash or a hang is one case's alone.
//
//   pipeline_fuzz [KIND...] [--from N] [--count N] [--seconds S]    cases N, N + 1, ... of each
//   kind pipeline_fuzz KIND --case N [--keep FOLDER]                     one case, told
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <new>

#include "tests/fuzz/cases.h"
#include "tests/patience.h"
#include "tests/support/temporary_folder.h"

using namespace zoetrope;

// Of the address sanitizer: a case allocates a million times, and what it leaks it leaks in a
// process that soon ends.
extern "C" const char* __asan_default_options() {
  return "detect_leaks=0:malloc_context_size=6:quarantine_size_mb=8:thread_local_quarantine_size_"
         "kb=64:detect_stack_use_after_return=0:allocator_may_return_null=1";
}

namespace {

using Clock = std::chrono::steady_clock;

constexpr double kCaseSeconds = 30;  // sanitizers included
constexpr size_t kMostReached = 8;

const CaseKind* const kKinds[] = {&kPipelineCases, &kMediaCases, &kCheckpointCases, &kFlagCases};

// What a worker tells, also where it dies.
struct Told {
  std::atomic<uint64_t> current{0};
  std::atomic<int64_t> reached[kMostReached]{};
  std::atomic<int64_t> wrong{0}, most_heap{0}, longest_ms{0};
  std::atomic<uint64_t> longest_case{0};
};

double since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

unsigned long long wide(uint64_t number) { return number; }

void raise_to(std::atomic<int64_t>* most, int64_t value) {
  if (value > *most) *most = value;
}

class Search {
 public:
  Search(const CaseKind& kind, uint64_t from, uint64_t count, double seconds)
      : kind_(kind), from_(from), count_(count), seconds_(seconds) {
    ZT_CHECK(kind.reached.size() <= kMostReached);
    void* shared =
        ::mmap(nullptr, sizeof(Told), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ZT_CHECK(shared != MAP_FAILED);
    told_ = new (shared) Told();
  }
  ~Search() { ::munmap(told_, sizeof(Told)); }

  // Whether nothing was found, and enough tried.
  bool run() {
    const auto begin = Clock::now();
    uint64_t next = from_;
    const uint64_t end = from_ + count_;
    while (next < end && (seconds_ <= 0 || since(begin) < seconds_)) {
      const uint64_t to = std::min(end, (next / kind_.block + 1) * kind_.block);
      std::fflush(nullptr);
      told_->current = next;
      const pid_t worker = ::fork();
      ZT_CHECK(worker >= 0);
      if (worker == 0) work(next, to, begin);
      const bool well = wait_for(worker);
      dead_ += !well;
      next = told_->current + (well ? 0 : 1);
      std::fflush(stdout);
    }
    return tell(since(begin), next);
  }

 private:
  [[noreturn]] void work(uint64_t from, uint64_t to, Clock::time_point begin) {
    uint64_t number = from;
    for (; number < to && (seconds_ <= 0 || since(begin) < seconds_); ++number) {
      told_->current = number;
      const CaseResult result = kind_.run(number, folder_.path(), false);
      ++told_->reached[result.reached];
      raise_to(&told_->most_heap, result.heap);
      const auto ms = static_cast<int64_t>(result.seconds * 1000);
      if (ms > told_->longest_ms) told_->longest_case = number;
      raise_to(&told_->longest_ms, ms);
      if (result.wrong.empty()) continue;
      ++told_->wrong;
      std::printf("%s, case %llu: %s\n", kind_.name, wide(number), result.wrong.c_str());
      std::fflush(stdout);
    }
    told_->current = number;
    std::fflush(nullptr);
    _exit(0);
  }

  // Kills a worker where one case takes too long. Whether it ended well.
  bool wait_for(pid_t worker) {
    uint64_t seen = told_->current;
    auto begin = Clock::now();
    for (int status = 0;;) {
      if (::waitpid(worker, &status, WNOHANG) == worker) {
        if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return true;
        std::printf("%s, case %llu: %s %d\n", kind_.name, wide(told_->current),
                    WIFSIGNALED(status) ? "signal" : "exit code",
                    WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
        return false;
      }
      if (told_->current != seen) {
        seen = told_->current;
        begin = Clock::now();
      } else if (since(begin) > kCaseSeconds * patience()) {
        std::printf("%s, case %llu: no end within %g s\n", kind_.name, wide(seen),
                    kCaseSeconds * patience());
        ::kill(worker, SIGKILL);
        ::waitpid(worker, &status, 0);
        return false;
      }
      ::usleep(1000);
    }
  }

  bool tell(double seconds, uint64_t next) const {
    int64_t all = 0;
    for (const auto& n : told_->reached) all += n;
    std::printf("%s: %lld cases in %.0f s, %llu to %llu\n", kind_.name,
                static_cast<long long>(all + dead_), seconds, wide(from_), wide(next));
    for (size_t i = 0; i < kind_.reached.size(); ++i)
      std::printf("%10lld  %5.1f%%  %s\n", static_cast<long long>(told_->reached[i]),
                  100.0 * static_cast<double>(told_->reached[i]) /
                      static_cast<double>(std::max<int64_t>(all, 1)),
                  kind_.reached[i]);
    std::printf("  most memory %lld KiB; longest %lld ms, case %llu\n",
                static_cast<long long>(told_->most_heap >> 10),
                static_cast<long long>(told_->longest_ms), wide(told_->longest_case));
    std::printf("  %lld ended their process, %lld wrong\n", static_cast<long long>(dead_),
                static_cast<long long>(told_->wrong));
    // A search that gets nowhere finds nothing.
    const auto far = static_cast<double>(told_->reached[kind_.reached.size() - 1]);
    const bool idle = all == 0 || far < kind_.least_share * static_cast<double>(all);
    if (idle) std::printf("  too few came to the end\n");
    std::fflush(stdout);
    return dead_ + told_->wrong == 0 && !idle;
  }

  const CaseKind& kind_;
  const uint64_t from_, count_;
  const double seconds_;
  const TemporaryFolder folder_ = TemporaryFolder::in_memory();
  Told* told_;
  int64_t dead_ = 0;
};

int tell_one(const CaseKind& kind, uint64_t number, const char* keep) {
  const TemporaryFolder folder;
  std::error_code failed;
  if (keep != nullptr && (std::filesystem::create_directories(keep, failed), failed)) {
    std::fprintf(stderr, "--keep %s: %s\n", keep, failed.message().c_str());
    return 2;
  }
  const CaseResult result = kind.run(number, keep != nullptr ? keep : folder.path(), true);
  std::printf("%s, %.3f s, %lld KiB\n%s\n%s\n", kind.reached[result.reached], result.seconds,
              static_cast<long long>(result.heap >> 10), result.said.c_str(), result.wrong.c_str());
  return result.wrong.empty() ? 0 : 1;
}

int usage() {
  std::fprintf(stderr,
               "pipeline_fuzz [KIND...] [--from N] [--count N] [--seconds S]\n"
               "pipeline_fuzz KIND --case N [--keep FOLDER]\nkinds:");
  for (const CaseKind* kind : kKinds) std::fprintf(stderr, " %s", kind->name);
  std::fprintf(stderr, "\n");
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  uint64_t from = 0, count = UINT64_MAX / 2, one = UINT64_MAX;
  double seconds = 0;
  const char* keep = nullptr;
  std::vector<const CaseKind*> kinds;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    const auto kind = std::find_if(std::begin(kKinds), std::end(kKinds),
                                   [&](const CaseKind* k) { return word == k->name; });
    if (kind != std::end(kKinds)) {
      kinds.push_back(*kind);
      continue;
    }
    const char* value = ++i < argc ? argv[i] : nullptr;
    if (value == nullptr) return usage();
    if (word == "--from")
      from = std::strtoull(value, nullptr, 10);
    else if (word == "--count")
      count = std::strtoull(value, nullptr, 10);
    else if (word == "--seconds")
      seconds = std::strtod(value, nullptr);
    else if (word == "--case")
      one = std::strtoull(value, nullptr, 10);
    else if (word == "--keep")
      keep = value;
    else
      return usage();
  }
  if (kinds.empty()) kinds.assign(std::begin(kKinds), std::end(kKinds));
  if (one != UINT64_MAX && kinds.size() != 1) return usage();
  bool well = true;
  for (const CaseKind* kind : kinds) {
    if (const std::string lacks = kind->prepare(); !lacks.empty()) {
      std::printf("SKIPPED %s: %s\n", kind->name, lacks.c_str());
      continue;
    }
    if (one != UINT64_MAX) return tell_one(*kind, one, keep);
    well = Search(*kind, from, count, seconds / static_cast<double>(kinds.size())).run() && well;
  }
  return well ? 0 : 1;
}
