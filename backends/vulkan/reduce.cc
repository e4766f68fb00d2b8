// Reductions and softmax.
#include <algorithm>

#include "backends/vulkan/kernel.h"
#include "backends/vulkan/walk.h"

namespace zoetrope::vulkan {
namespace {

constexpr uint32_t kGroup = 64;

// A group for each result where few invocations would otherwise do all the work.
bool takes_group(int64_t results, int64_t count) {
  return count >= 2 * kGroup || (count >= 16 && results < 4096);
}

Result<KernelSpec> prepare_reduce(const KernelRequest& request, const Capabilities&) {
  const Shape& x = in(request, 0).shape;
  std::vector<int64_t> axes = attrs(request).get_ints("axes");
  std::vector<bool> reduced(static_cast<size_t>(x.rank()), axes.empty());
  for (int64_t a : axes) {
    ZT_ASSIGN_OR_RETURN(const int axis, normalize_axis(a, x.rank()));
    reduced[static_cast<size_t>(axis)] = true;
  }
  const ops::Strides own = ops::strides_of(x);
  Shape shapes[2];  // kept, reduced
  ops::Strides strides[2]{};
  for (int d = 0; d < x.rank(); ++d) {
    const size_t which = reduced[static_cast<size_t>(d)];
    strides[which][static_cast<size_t>(shapes[which].rank())] = own[static_cast<size_t>(d)];
    shapes[which].push_back(x[d]);
  }
  const Walk<1> kept(shapes[0], {strides[0]}), gone(shapes[1], {strides[1]});
  const int64_t results = shapes[0].elements(), count = shapes[1].elements();
  const bool group = takes_group(results, count);
  Dispatch d;
  d.shader = "reduce";
  d.operands = {input(request, 0), output(request)};
  const uint32_t op = request.node->op == OpKind::kReduceSum    ? 0
                      : request.node->op == OpKind::kReduceMean ? 1
                                                                : 2;
  d.constants = {op, group, kept.rank(), gone.rank()};
  d.params = {u32(results), u32(count),
              float_bits(1.0 / static_cast<double>(std::max<int64_t>(count, 1)))};
  kept.append_to(&d.params);
  gone.append_to(&d.params);
  d.group_size = kGroup;
  d.groups = group ? results : ceil_div(results, kGroup);
  d.flops = static_cast<double>(x.elements()) * 8;
  return KernelSpec{.name = "reduce", .dispatches = {d}};
}

Result<KernelSpec> prepare_softmax(const KernelRequest& request, const Capabilities&) {
  const Shape& x = in(request, 0).shape;
  ZT_ASSIGN_OR_RETURN(const int axis, normalize_axis(attrs(request).get_int("axis"), x.rank()));
  int64_t inner = 1;
  for (int d = axis + 1; d < x.rank(); ++d) inner *= x[d];
  const int64_t count = x[axis], columns = count == 0 ? 0 : x.elements() / count;
  const bool group = takes_group(columns, count);
  Dispatch d;
  d.shader = "softmax";
  d.operands = {input(request, 0), output(request)};
  d.constants = {group};
  d.params = {u32(columns), u32(count), u32(inner)};
  d.group_size = kGroup;
  d.groups = group ? columns : ceil_div(columns, kGroup);
  d.flops = static_cast<double>(x.elements()) * 40;
  return KernelSpec{.name = "softmax", .dispatches = {d}};
}

bool accepts(const KernelRequest& request, const Capabilities&) { return compute_dtypes(request); }

constexpr Row kRows[] = {
    {OpKind::kReduceSum, accepts, prepare_reduce},
    {OpKind::kReduceMean, accepts, prepare_reduce},
    {OpKind::kReduceMax, accepts, prepare_reduce},
    {OpKind::kSoftmax, accepts, prepare_softmax},
};

}  // namespace

std::span<const Row> reduce_rows() { return kRows; }

}  // namespace zoetrope::vulkan
