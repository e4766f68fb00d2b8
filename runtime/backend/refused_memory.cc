#include "runtime/backend/refused_memory.h"

#include <atomic>
#include <cerrno>

namespace zoetrope {
namespace {

std::atomic<bool> counted{false};
std::atomic<int64_t> refusals{0};

}  // namespace

void count_refusals() { counted = true; }
void note_refusal() { refusals.fetch_add(1); }

RefusalWatch::RefusalWatch() : before_(refusals.load()) { errno = 0; }
bool RefusalWatch::refused() const {
  return counted.load() ? refusals.load() != before_ : errno == ENOMEM;
}

}  // namespace zoetrope
