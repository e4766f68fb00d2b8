#include "graph/thread.h"

#include <cstdint>
#include <system_error>

namespace zoetrope {
namespace {

// Of a new thread.
class Attributes {
 public:
  Attributes() { check(pthread_attr_init(&held_)); }
  ~Attributes() { pthread_attr_destroy(&held_); }
  Attributes(const Attributes&) = delete;
  Attributes& operator=(const Attributes&) = delete;
  pthread_attr_t* get() { return &held_; }

  static void check(int code) {
    if (code != 0) throw std::system_error(code, std::generic_category());
  }

 private:
  pthread_attr_t held_;
};

struct Stack {
  uintptr_t begin = 0;
  size_t bytes = 0;
  size_t below(uintptr_t here) const { return here - begin < bytes ? here - begin : SIZE_MAX; }
};

// Leaves `stack` as it is where the system does not say: the first thread's stands in
// /proc/self/maps, which need not be there nor have a descriptor left for it.
void ask_for_stack(Stack* stack) {
  pthread_attr_t attributes;
  void* lowest = nullptr;
  if (pthread_getattr_np(pthread_self(), &attributes) != 0) return;
  if (pthread_attr_getstack(&attributes, &lowest, &stack->bytes) == 0)
    stack->begin = reinterpret_cast<uintptr_t>(lowest);
  pthread_attr_destroy(&attributes);
}

}  // namespace

void Thread::start(std::unique_ptr<Work> work) {
  Attributes attributes;
  Attributes::check(pthread_attr_setstacksize(attributes.get(), kThreadStack));
  Attributes::check(pthread_create(&id_, attributes.get(), run, work.get()));
  runs_ = true;
  (void)work.release();
}

void* Thread::run(void* work) noexcept {
  const std::unique_ptr<Work> owned(static_cast<Work*>(work));
  owned->run();
  return nullptr;
}

void Thread::join() {
  if (std::exchange(runs_, false)) pthread_join(id_, nullptr);
}

size_t default_thread_stack() {
  pthread_attr_t attributes;
  size_t bytes = 0;
  if (pthread_getattr_default_np(&attributes) != 0) return kThreadStack;
  pthread_attr_getstacksize(&attributes, &bytes);
  pthread_attr_destroy(&attributes);
  return bytes;
}

size_t stack_left() {
  static thread_local Stack known;
  const auto here = reinterpret_cast<uintptr_t>(__builtin_frame_address(0));
  // The first thread's grows with the soft limit.
  if (known.bytes == 0 || known.below(here) < kLeastStack) ask_for_stack(&known);
  return known.below(here);
}

}  // namespace zoetrope
