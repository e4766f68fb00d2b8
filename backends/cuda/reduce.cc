// Reductions and softmax.
#include "backends/cuda/kernels/reduce.h"

#include <algorithm>

#include "backends/cuda/kernels/softmax.h"
#include "backends/cuda/walk.h"

namespace zoetrope::cuda {
namespace {

Prepared prepare_reduce(const KernelRequest& request, const Context& context) {
  const auto [kept, gone] = ops::reduction_walks(in(request, 0).shape, attrs(request));
  ReduceParams p;
  p.dtype = in(request, 0).dtype;
  p.maximum = request.node->op == OpKind::kReduceMax;
  p.results = kept.elements();
  p.count = gone.elements();
  p.kept = walk_params(kept);
  p.gone = walk_params(gone);
  if (request.node->op == OpKind::kReduceMean)
    p.scale = static_cast<float>(1.0 / static_cast<double>(std::max<int64_t>(p.count, 1)));
  cut_reduction(&p, context.caps.multiprocessors);
  return simple_kernel(context, reduce_workspace(p), [p](const Call& call) {
    ReduceParams now = p;
    now.x = call.input(0);
    now.y = call.output();
    if (p.parts > 1) now.workspace = call.workspace<float>();
    return reduce(now, call.stream);
  });
}

Prepared prepare_softmax(const KernelRequest& request, const Context& context) {
  const Shape& x = in(request, 0).shape;
  ZT_ASSIGN_OR_RETURN(const int axis, normalize_axis(attrs(request).get_int("axis"), x.rank()));
  SoftmaxParams p;
  p.dtype = in(request, 0).dtype;
  p.outer = ops::extent(x, 0, axis);
  p.count = x[axis];
  p.inner = ops::extent(x, axis + 1, x.rank());
  return simple_kernel(context, 0, [p](const Call& call) {
    SoftmaxParams now = p;
    now.x = call.input(0);
    now.y = call.output();
    return softmax(now, call.stream);
  });
}

bool accepts(const KernelRequest& request, const Capabilities&) { return compute_dtypes(request); }

constexpr TableRow kTable[] = {
    {OpKind::kReduceSum, "reduce", accepts, prepare_reduce},
    {OpKind::kReduceMean, "reduce", accepts, prepare_reduce},
    {OpKind::kReduceMax, "reduce", accepts, prepare_reduce},
    {OpKind::kSoftmax, "softmax", accepts, prepare_softmax},
};

}  // namespace

std::span<const TableRow> reduce_table() { return kTable; }

}  // namespace zoetrope::cuda
