#include "tests/conformance/exclusions.h"

namespace zoetrope::conformance {
namespace {

constexpr Exclusion kExclusions[] = {
    {"cpu", std::nullopt, DType::kF16, "f16 is a storage dtype here: no CPU of ours computes in it"},
};

}  // namespace

const Exclusion* find_exclusion(std::string_view backend, OpKind op, DType compute) {
  for (const Exclusion& e : kExclusions)
    if (e.backend == backend && (!e.op || *e.op == op) && (!e.compute || *e.compute == compute))
      return &e;
  return nullptr;
}

}  // namespace zoetrope::conformance
