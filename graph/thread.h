// Library code starts its threads as this Thread, with a stack of its own size; the command's own
// code may use std::thread, whose stacks runtime/cli/main.cc sets. In other processes those follow
// `ulimit -s`: of 64 KiB they are too short for what runs on them, of 1 GiB they use up the address
// space.
#pragma once

#include <pthread.h>

#include <cstddef>
#include <memory>
#include <utility>

namespace zoetrope {

// Bytes of each stack: the usual default of Linux, with which other libraries are tested.
inline constexpr size_t kThreadStack = size_t{8} << 20;

// Bytes of stack that a call into the engine or a codec needs below its caller.
inline constexpr size_t kLeastStack = size_t{192} << 10;

// Its destructor joins. Throws std::system_error where the system has no thread, as std::thread
// does.
class Thread {
 public:
  // `body` must not throw.
  template <typename Body>
  explicit Thread(Body body) {
    start(std::make_unique<Task<Body>>(std::move(body)));
  }
  Thread(Thread&& other) noexcept : id_(other.id_), runs_(std::exchange(other.runs_, false)) {}
  Thread& operator=(Thread&&) = delete;
  ~Thread() { join(); }

  void join();  // once it has joined, does nothing

 private:
  struct Work {
    virtual ~Work() = default;
    virtual void run() = 0;
  };
  template <typename Body>
  struct Task final : Work {
    explicit Task(Body b) : body(std::move(b)) {}
    void run() override { body(); }
    Body body;
  };
  static void* run(void* work) noexcept;
  void start(std::unique_ptr<Work> work);

  pthread_t id_{};
  bool runs_ = false;
};

// Bytes of the stack of a thread that another library starts without asking for a size.
size_t default_thread_stack();

// Bytes of this thread's stack below the caller. SIZE_MAX where it is not known, or the caller runs
// on another stack, as coroutines do. A soft limit that was lowered since the first thread's first
// call is not seen.
size_t stack_left();

}  // namespace zoetrope
