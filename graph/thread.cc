#include "graph/thread.h"

#include <cstdint>
#include <system_error>

namespace zoetrope {
namespace {

// Of a new or the current thread.
class Attributes {
 public:
  Attributes() { check(pthread_attr_init(&held_)); }
  explicit Attributes(pthread_t thread) { check(pthread_getattr_np(thread, &held_)); }
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
  static thread_local uintptr_t begin = 0;
  static thread_local size_t bytes = 0;
  if (bytes == 0) {
    Attributes attributes(pthread_self());
    void* lowest = nullptr;
    pthread_attr_getstack(attributes.get(), &lowest, &bytes);
    begin = reinterpret_cast<uintptr_t>(lowest);
  }
  const auto here = reinterpret_cast<uintptr_t>(__builtin_frame_address(0));
  return here - begin < bytes ? here - begin : SIZE_MAX;
}

}  // namespace zoetrope
