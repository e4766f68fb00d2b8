// Cases that a backend is known not to run. Each has a reason, and a case that passes although it
// is excluded fails the suite: exclusions cannot outlive their reason.
#pragma once

#include <optional>
#include <string_view>

#include "graph/dtype.h"
#include "graph/op.h"

namespace zoetrope::conformance {

struct Exclusion {
  std::string_view backend;
  std::optional<OpKind> op;      // none: every op
  std::optional<DType> compute;  // none: every dtype
  std::string_view reason;
};

// The first exclusion that applies, or null.
const Exclusion* find_exclusion(std::string_view backend, OpKind op, DType compute);

}  // namespace zoetrope::conformance
