// Linear resampling.
#include "backends/cuda/kernels/resample.h"

#include "backends/cuda/kernel.h"

namespace zoetrope::cuda {
namespace {

Prepared prepare_resize(const KernelRequest& request, const Context& context) {
  const Shape &x = in(request, 0).shape, &y = out(request).shape;
  ResizeParams p;
  p.dtype = out(request).dtype;
  p.align_corners = attrs(request).get_bool("align_corners");
  p.spatial = x.rank() - 2;
  p.count = y.elements();
  p.channels = x[-1];
  for (int d = 0; d < p.spatial; ++d) {
    p.to[d] = Divider(y[d + 1]);
    p.from[d] = x[d + 1];
  }
  return simple_kernel(context, 0, [p](const Call& call) {
    ResizeParams now = p;
    now.x = call.input(0);
    now.y = call.output();
    return resize_linear(now, call.stream);
  });
}

bool accepts(const KernelRequest& request, const Capabilities&) { return compute_dtypes(request); }

constexpr TableRow kTable[] = {{OpKind::kResizeLinear, "resize_linear", accepts, prepare_resize}};

}  // namespace

std::span<const TableRow> resample_table() { return kTable; }

}  // namespace zoetrope::cuda
