// Reductions and softmax.
#include "backends/cuda/kernels/reduce.h"

#include <algorithm>

#include "backends/cuda/kernels/softmax.h"
#include "backends/cuda/walk.h"

namespace zoetrope::cuda {
namespace {

Prepared prepare_reduce(const KernelRequest& request, const Context& context) {
  const Shape& x = in(request, 0).shape;
  const std::vector<int64_t> axes = attrs(request).get_ints("axes");
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
  ReduceParams p;
  p.dtype = in(request, 0).dtype;
  p.maximum = request.node->op == OpKind::kReduceMax;
  p.results = shapes[0].elements();
  p.count = shapes[1].elements();
  p.kept = walk_params(ops::Walk<1>(shapes[0], {strides[0]}));
  p.gone = walk_params(ops::Walk<1>(shapes[1], {strides[1]}));
  if (request.node->op == OpKind::kReduceMean)
    p.scale = static_cast<float>(1.0 / static_cast<double>(std::max<int64_t>(p.count, 1)));
  plan_reduce(&p, context.caps.multiprocessors);
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

constexpr Row kRows[] = {
    {OpKind::kReduceSum, "reduce", accepts, prepare_reduce},
    {OpKind::kReduceMean, "reduce", accepts, prepare_reduce},
    {OpKind::kReduceMax, "reduce", accepts, prepare_reduce},
    {OpKind::kSoftmax, "softmax", accepts, prepare_softmax},
};

}  // namespace

std::span<const Row> reduce_rows() { return kRows; }

}  // namespace zoetrope::cuda
