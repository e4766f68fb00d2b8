// Errors as values. An OK status is a null pointer, so the good path costs nothing.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace zoetrope {

enum class Code {
  kOk = 0,
  kInvalidArgument,    // the caller asked for something that makes no sense
  kNotFound,           // a file, tensor, symbol or device that is not there
  kUnsupported,        // well formed, but no kernel, codec or feature for it
  kResourceExhausted,  // out of memory, budget, disk or a limit of ours
  kDataLoss,           // damaged or hostile bytes
  kUnavailable,        // device lost, driver missing, library not installed, file in use
  kCancelled,          // the user asked to stop
  kDiffers,            // a result is not what it was compared with
  kIoError,            // the operating system refused a read or a write
  kInternal,           // an invariant of ours was broken
};

// "invalid argument", "not found", ...
std::string_view code_name(Code code);

class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(Code code, std::string message)
      : rep_(code == Code::kOk ? nullptr : new Rep{code, std::move(message)}) {}
  Status(const Status& other) : rep_(other.rep_ ? new Rep(*other.rep_) : nullptr) {}
  Status& operator=(const Status& other) {
    rep_.reset(other.rep_ ? new Rep(*other.rep_) : nullptr);
    return *this;
  }
  Status(Status&&) noexcept = default;
  Status& operator=(Status&&) noexcept = default;

  bool ok() const { return rep_ == nullptr; }
  Code code() const { return rep_ ? rep_->code : Code::kOk; }
  const std::string& message() const;

  // The same error with "context: " put before its message; OK stays OK.
  Status with_context(std::string_view context) const;

 private:
  struct Rep {
    Code code;
    std::string message;
  };
  std::unique_ptr<Rep> rep_;
};

// Joins its arguments with operator<<, for messages: str("expected ", n, " dims").
template <typename... Args>
std::string str(const Args&... args) {
  std::ostringstream out;
  out.exceptions(std::ios::badbit);  // without memory it would go on, and leave out the rest
  (out << ... << args);
  return std::move(out).str();
}

// error(Code::kNotFound, "no tensor named ", name)
template <typename... Args>
Status error(Code code, const Args&... args) {
  return Status(code, str(args...));
}

template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<1>, std::move(value)) {}
  // `status` must be an error.
  Result(Status status) : state_(std::in_place_index<0>, std::move(status)) {}

  bool ok() const { return state_.index() == 1; }
  const Status& status() const {
    static const Status kOk;
    return ok() ? kOk : std::get<0>(state_);
  }
  // Only when ok().
  T& value() & { return std::get<1>(state_); }
  const T& value() const& { return std::get<1>(state_); }
  T&& value() && { return std::get<1>(std::move(state_)); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

 private:
  std::variant<Status, T> state_;
};

#define ZT_CONCAT_INNER(a, b) a##b
#define ZT_CONCAT(a, b) ZT_CONCAT_INNER(a, b)

#define ZT_RETURN_IF_ERROR(expr)                                                  \
  do {                                                                            \
    if (::zoetrope::Status zt_status = (expr); !zt_status.ok()) return zt_status; \
  } while (0)

// ZT_ASSIGN_OR_RETURN(auto x, make_x());
#define ZT_ASSIGN_OR_RETURN(lhs, expr) \
  ZT_ASSIGN_OR_RETURN_IMPL(ZT_CONCAT(zt_result_, __LINE__), lhs, expr)
#define ZT_ASSIGN_OR_RETURN_IMPL(tmp, lhs, expr) \
  auto tmp = (expr);                             \
  if (!tmp.ok()) return tmp.status();            \
  lhs = std::move(tmp).value()

// Programmer errors only: never for anything that a file or a user can cause.
#define ZT_CHECK(cond)                                                                        \
  do {                                                                                        \
    if (!(cond)) {                                                                            \
      std::fprintf(stderr, "zoetrope: %s:%d: check failed: %s\n", __FILE__, __LINE__, #cond); \
      std::abort();                                                                           \
    }                                                                                         \
  } while (0)

}  // namespace zoetrope
