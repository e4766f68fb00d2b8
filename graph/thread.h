// Threads whose stacks do not follow `ulimit -s`, from which those of std::thread are made: of 64
// KiB they are too short for what runs on them, of 1 GiB they use up the address space.
#pragma once

#include <pthread.h>

#include <cstddef>
#include <memory>
#include <utility>

namespace zoetrope {

// Bytes of each stack: what nearly all processes get, and libraries are tried with.
inline constexpr size_t kThreadStack = size_t{8} << 20;

// What a call into the engine or a codec needs of the stack that it is made on.
inline constexpr size_t kLeastStack = size_t{192} << 10;

// Joins as it ends. std::system_error where the system has no thread, as of std::thread's.
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

  void join();  // nothing where it is joined

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

// Bytes of the stacks that threads of other libraries get, which say nothing of them.
size_t default_thread_stack();

// Bytes of this thread's stack below the caller; SIZE_MAX where it runs on another, as coroutines
// do.
size_t stack_left();

}  // namespace zoetrope
