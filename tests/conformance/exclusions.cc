#include "tests/conformance/exclusions.h"

#include <vector>

namespace zoetrope::conformance {
namespace {

// An entry: {"cpu", OpKind::kPow, DType::kF16, "why"}.
const std::vector<Exclusion> kExclusions{
};

}  // namespace

const Exclusion* find_exclusion(std::string_view backend, OpKind op, DType compute) {
  for (const Exclusion& e : kExclusions)
    if (e.backend == backend && (!e.op || *e.op == op) && (!e.compute || *e.compute == compute))
      return &e;
  return nullptr;
}

}  // namespace zoetrope::conformance
