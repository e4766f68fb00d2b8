// dequantize: weights of 8 and 4 bits as numbers, before each call that reads them.
#include "backends/cuda/kernels/dequantize.h"
#include "backends/cuda/kernel.h"
#include "graph/ops/dequantize.h"

namespace zoetrope::cuda {
namespace {

enum Input : size_t { kValues, kScale, kOffset };
constexpr int64_t kMost = INT32_MAX;

// Row major alone: another layout is another dtype (pack.h), rounded once more.
bool accepts(const KernelRequest& request, const Capabilities&) {
  const auto shape = ops::dequantize_shape(attrs(request));
  return shape.ok() && request.output_as.reader == nullptr && shape->rows <= kMost &&
         shape->columns <= kMost && shape->group <= kMost && is_compute_dtype(out(request).dtype) &&
         is_compute_dtype(in(request, kScale).dtype) &&
         (!has(request, kOffset) || is_compute_dtype(in(request, kOffset).dtype));
}

Prepared prepare(const KernelRequest& request, const Context& context) {
  ZT_ASSIGN_OR_RETURN(const ops::DequantizeShape s, ops::dequantize_shape(attrs(request)));
  DequantizeParams p;
  p.rows = s.rows, p.columns = s.columns, p.row_bytes = s.row_bytes;
  p.group = s.group, p.groups = s.groups;
  p.q_dtype = in(request, kValues).dtype;
  p.scale_dtype = in(request, kScale).dtype;
  if (has(request, kOffset)) p.offset_dtype = in(request, kOffset).dtype;
  p.out = out(request).dtype;
  return simple_kernel(context, 0, [p](const Call& call) {
    DequantizeParams q = p;
    q.q = call.input(kValues);
    q.scale = call.input(kScale);
    q.offset = call.input(kOffset);
    q.y = call.output();
    return dequantize(q, call.stream);
  });
}

constexpr TableRow kTable[] = {{OpKind::kDequantize, "dequantize", accepts, prepare}};

}  // namespace

std::span<const TableRow> dequantize_table() { return kTable; }

}  // namespace zoetrope::cuda
