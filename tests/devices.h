// Which devices this machine has, for tests that need one.
#pragma once

#include "runtime/backend/registry.h"
#include "tests/skip.h"

namespace zoetrope {

// For budgets of tiny models: each thread of the CPU has a workspace of its own, which on large
// machines is most of what they take.
inline constexpr int kFewThreads = 2;

// OK where the backend has a device with this target, else why not.
inline Status device_status(const std::string& backend, const std::string& target = "") {
  for (const BackendStatus& found : list_backends({.threads = 0, .force_target = target}))
    if (found.name == backend) return found.status;
  return error(Code::kNotFound, "no backend is called ", backend);
}

inline bool has_device(const std::string& backend, const std::string& target = "") {
  return device_status(backend, target).ok();
}

// False where it has none: the test case is then marked as skipped.
inline bool needs_device(const std::string& backend, const std::string& target = "") {
  const Status status = device_status(backend, target);
  if (!status.ok()) skip(backend + ": " + std::string(status.message()));
  return status.ok();
}

}  // namespace zoetrope
