#include "runtime/backend/refused_memory.h"

#include <time.h>

#include <atomic>
#include <cerrno>

namespace zoetrope {
namespace {

std::atomic<bool> counted{false};
std::atomic<int64_t> refusals{0};
std::atomic<int64_t> last_refusal{0};  // in seconds of CLOCK_MONOTONIC; 0: none

// What was refused is missed when it is used, not hours later.
constexpr int64_t kLately = 10;  // seconds

int64_t seconds_now() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec + 1;
}

}  // namespace

void count_refusals() { counted = true; }
void note_refusal() {
  const int error = errno;
  last_refusal = seconds_now();
  refusals.fetch_add(1);
  errno = error;
}

bool memory_was_refused_lately() {
  if (!counted.load()) return errno == ENOMEM;
  return last_refusal != 0 && seconds_now() - last_refusal <= kLately;
}

RefusalWatch::RefusalWatch() : before_(refusals.load()) { errno = 0; }
bool RefusalWatch::refused() const {
  return counted.load() ? refusals.load() != before_ : errno == ENOMEM;
}

}  // namespace zoetrope
