// Codes, the calling thread's message, and the wall that no exception passes.
#pragma once

#include <exception>
#include <new>
#include <string>
#include <system_error>

#include "graph/status.h"
#include "include/zoetrope.h"

namespace zoetrope {

int c_code(Code code);

// Sets the calling thread's message and gives `code`.
int fail(int code, const char* message) noexcept;
const char* last_message() noexcept;

template <typename Work>
int guarded(const Work& work) noexcept {
  try {
    const Status status = work();
    return status.ok() ? ZOETROPE_OK : fail(c_code(status.code()), status.message().c_str());
  } catch (const std::bad_alloc&) {
    return fail(ZOETROPE_RESOURCE_EXHAUSTED, "out of memory");
  } catch (const std::system_error& e) {
    const bool threads = e.code() == std::errc::resource_unavailable_try_again;
    return threads ? fail(ZOETROPE_RESOURCE_EXHAUSTED, "no more threads can be started")
                   : fail(ZOETROPE_INTERNAL, e.what());
  } catch (const std::exception& e) {
    return fail(ZOETROPE_INTERNAL, e.what());
  } catch (...) {
    return fail(ZOETROPE_INTERNAL, "an exception of an unknown kind");
  }
}

// Whether the caller's stack holds what the engine puts there.
Status check_stack();

// As guarded, of what opens, plans, runs, reads or writes.
template <typename Work>
int guarded_work(const Work& work) noexcept {
  return guarded([&]() -> Status {
    ZT_RETURN_IF_ERROR(check_stack());
    return work();
  });
}

// A pointer that may not be NULL.
Status need(const void* pointer, const char* what);

// A copy that zoetrope_free() frees.
Status give(const std::string& text, char** out);

}  // namespace zoetrope
