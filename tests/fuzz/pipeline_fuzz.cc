// The semantic fuzzer: rewrites small models and runs what comes of them, in processes of its own,
// so that a crash or a hang is one case's alone.
//
//   pipeline_fuzz [--from N] [--count N] [--seconds S]    cases N, N + 1, ...
//   pipeline_fuzz --case N [--keep FOLDER]                one case, told
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
#include <new>

#include "tests/fuzz/pipelines.h"
#include "tests/patience.h"
#include "tests/support/temporary_folder.h"

using namespace zoetrope;

namespace {

using Clock = std::chrono::steady_clock;

constexpr double kCaseSeconds = 30;  // sanitizers included

// What a worker tells, also where it dies.
struct Told {
  std::atomic<uint64_t> current{0};
  std::atomic<int64_t> reached[kReachedNames.size()]{};
  std::atomic<int64_t> wrong{0}, most_heap{0}, longest_ms{0};
  std::atomic<uint64_t> longest_case{0};
};

double since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

void raise_to(std::atomic<int64_t>* most, int64_t value) {
  if (value > *most) *most = value;
}

void work(uint64_t from, uint64_t to, const std::string& folder, Told* told) {
  for (uint64_t number = from; number < to; ++number) {
    told->current = number;
    const PipelineCase result = run_pipeline_case(number, folder);
    ++told->reached[static_cast<size_t>(result.reached)];
    raise_to(&told->most_heap, result.heap);
    const auto ms = static_cast<int64_t>(result.seconds * 1000);
    if (ms > told->longest_ms) told->longest_case = number;
    raise_to(&told->longest_ms, ms);
    if (result.wrong.empty()) continue;
    ++told->wrong;
    std::printf("case %llu: %s\n", static_cast<unsigned long long>(number), result.wrong.c_str());
    std::fflush(stdout);
  }
  told->current = to;
  std::fflush(nullptr);
  _exit(0);
}

// Waits for a worker; kills it where one case takes too long. Whether it ended well.
bool wait_for(pid_t worker, const Told& told) {
  uint64_t seen = told.current;
  auto begin = Clock::now();
  for (int status = 0;;) {
    if (::waitpid(worker, &status, WNOHANG) == worker) {
      if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return true;
      std::printf("case %llu: %s %d\n", static_cast<unsigned long long>(told.current),
                  WIFSIGNALED(status) ? "signal" : "exit code",
                  WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
      return false;
    }
    if (told.current != seen) {
      seen = told.current;
      begin = Clock::now();
    } else if (since(begin) > kCaseSeconds * patience()) {
      std::printf("case %llu: no end within %g s\n", static_cast<unsigned long long>(seen),
                  kCaseSeconds * patience());
      ::kill(worker, SIGKILL);
      ::waitpid(worker, &status, 0);
      return false;
    }
    ::usleep(2000);
  }
}

int search(uint64_t from, uint64_t count, double seconds) {
  void* shared =
      ::mmap(nullptr, sizeof(Told), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  ZT_CHECK(shared != MAP_FAILED);
  Told* told = new (shared) Told();
  const TemporaryFolder folder = TemporaryFolder::in_memory();
  const auto begin = Clock::now();
  int64_t dead = 0;
  uint64_t next = from;
  // Short batches where time is short.
  const uint64_t batch = seconds > 0 && seconds < 60 ? 20 : kCasesAProcess;
  while (next < from + count && (seconds <= 0 || since(begin) < seconds)) {
    const uint64_t to =
        std::min({from + count, next + batch, (next / kCasesAProcess + 1) * kCasesAProcess});
    std::fflush(nullptr);
    told->current = next;
    const pid_t worker = ::fork();
    ZT_CHECK(worker >= 0);
    if (worker == 0) work(next, to, folder.path(), told);
    const bool well = wait_for(worker, *told);
    dead += !well;
    next = well ? to : told->current + 1;
    std::fflush(stdout);
  }
  int64_t all = 0;
  for (const auto& n : told->reached) all += n;
  std::printf("%lld cases in %.0f s, %llu to %llu\n", static_cast<long long>(all + dead),
              since(begin), static_cast<unsigned long long>(from),
              static_cast<unsigned long long>(next));
  for (size_t i = 0; i < kReachedNames.size(); ++i)
    std::printf("%8lld  %5.1f%%  %s\n", static_cast<long long>(told->reached[i]),
                100.0 * static_cast<double>(told->reached[i]) /
                    static_cast<double>(std::max<int64_t>(all, 1)),
                kReachedNames[i]);
  std::printf("most memory %lld KiB; longest %lld ms, case %llu\n",
              static_cast<long long>(told->most_heap >> 10),
              static_cast<long long>(told->longest_ms),
              static_cast<unsigned long long>(told->longest_case));
  std::printf("%lld ended their process, %lld wrong\n", static_cast<long long>(dead),
              static_cast<long long>(told->wrong));
  // A search that runs nothing finds nothing.
  const bool idle = all == 0 || told->reached[static_cast<size_t>(Reached::kRan)] * 5 < all;
  if (idle) std::printf("too few cases ran\n");
  return dead + told->wrong > 0 || idle ? 1 : 0;
}

int tell(uint64_t number, const char* keep) {
  const TemporaryFolder folder;
  const PipelineCase result = run_pipeline_case(number, keep != nullptr ? keep : folder.path(), true);
  std::printf("%s, %.3f s, %lld KiB\n%s\n%s\n", kReachedNames[static_cast<size_t>(result.reached)],
              result.seconds, static_cast<long long>(result.heap >> 10), result.said.c_str(),
              result.wrong.c_str());
  return result.wrong.empty() ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  uint64_t from = 0, count = UINT64_MAX / 2, one = UINT64_MAX;
  double seconds = 0;
  const char* keep = nullptr;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string flag = argv[i];
    const char* value = argv[i + 1];
    if (flag == "--from") from = std::strtoull(value, nullptr, 10);
    if (flag == "--count") count = std::strtoull(value, nullptr, 10);
    if (flag == "--seconds") seconds = std::strtod(value, nullptr);
    if (flag == "--case") one = std::strtoull(value, nullptr, 10);
    if (flag == "--keep") keep = value;
  }
  if (one != UINT64_MAX) return tell(one, keep);
  return search(from, count, seconds);
}
