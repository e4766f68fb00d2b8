// Ops that treat elements one by one.
#include <algorithm>

#include "backends/vulkan/kernel.h"

namespace zoetrope::vulkan {
namespace {

constexpr uint32_t kGroup = 64;

// Order of apply() in shaders/unary.comp.
constexpr OpKind kUnaryOps[] = {OpKind::kNeg, OpKind::kAbs, OpKind::kExp};

Result<KernelSpec> prepare_unary(const KernelRequest& request, const Capabilities&) {
  const int64_t count = out(request).shape.elements();
  const bool vector = count % 4 == 0;
  Dispatch d;
  d.shader = "unary";
  d.operands = {input(request, 0), output(request)};
  const auto op = std::find(std::begin(kUnaryOps), std::end(kUnaryOps), request.node->op);
  d.constants = {u32(op - std::begin(kUnaryOps)), vector};
  d.params = {u32(count)};
  d.group_size = kGroup;
  d.groups = ceil_div(count, vector ? 4 * kGroup : kGroup);
  d.flops = static_cast<double>(count) * 8;
  return KernelSpec{.name = "unary", .dispatches = {d}};
}

bool accepts_unary(const KernelRequest& request, const Capabilities&) {
  return compute_dtypes(request);
}

constexpr Row kRows[] = {
    {OpKind::kNeg, accepts_unary, prepare_unary},
    {OpKind::kAbs, accepts_unary, prepare_unary},
    {OpKind::kExp, accepts_unary, prepare_unary},
};

}  // namespace

std::span<const Row> elementwise_rows() { return kRows; }

}  // namespace zoetrope::vulkan
