#include "runtime/c/errors.h"

#include <cstdlib>
#include <cstring>

#include "graph/thread.h"

namespace zoetrope {
namespace {

thread_local std::string t_message;

}  // namespace

int c_code(Code code) {
  switch (code) {
    case Code::kOk: return ZOETROPE_OK;
    case Code::kInvalidArgument: return ZOETROPE_INVALID_ARGUMENT;
    case Code::kNotFound: return ZOETROPE_NOT_FOUND;
    case Code::kUnsupported: return ZOETROPE_UNSUPPORTED;
    case Code::kResourceExhausted: return ZOETROPE_RESOURCE_EXHAUSTED;
    case Code::kDataLoss: return ZOETROPE_DATA_LOSS;
    case Code::kUnavailable: return ZOETROPE_UNAVAILABLE;
    case Code::kCancelled: return ZOETROPE_CANCELLED;
    case Code::kDiffers: return ZOETROPE_DIFFERS;
    case Code::kIoError: return ZOETROPE_IO_ERROR;
    case Code::kInternal: return ZOETROPE_INTERNAL;
  }
  return ZOETROPE_INTERNAL;
}

int fail(int code, const char* message) noexcept {
  try {
    t_message = message;
  } catch (...) {
    t_message.clear();
  }
  return code;
}

const char* last_message() noexcept { return t_message.c_str(); }

Status check_stack() {
  const size_t left = stack_left();
  return left >= kLeastStack
             ? Status()
             : error(Code::kResourceExhausted, "the calling thread has ", left >> 10,
                     " KiB of its stack left; at least ", kLeastStack >> 10, " are needed");
}

Status need(const void* pointer, const char* what) {
  return pointer != nullptr ? Status()
                            : error(Code::kInvalidArgument, what, ": expected one, found NULL");
}

Status give(const std::string& text, char** out) {
  char* copy = static_cast<char*>(std::malloc(text.size() + 1));
  if (copy == nullptr) return error(Code::kResourceExhausted, "out of memory");
  std::memcpy(copy, text.c_str(), text.size() + 1);
  *out = copy;
  return Status();
}

}  // namespace zoetrope
