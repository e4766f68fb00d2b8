#include "tests/conformance/exclusions.h"

namespace zoetrope::conformance {
namespace {

constexpr Exclusion kExclusions[] = {
};

}  // namespace

const Exclusion* find_exclusion(std::string_view backend, OpKind op, DType compute) {
  for (const Exclusion& e : kExclusions)
    if (e.backend == backend && (!e.op || *e.op == op) && (!e.compute || *e.compute == compute))
      return &e;
  return nullptr;
}

}  // namespace zoetrope::conformance
