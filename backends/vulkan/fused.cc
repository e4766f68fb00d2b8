// What passes fuse and one pass over memory does: gated_residual, glu, norm_rope; rope is the last
// without its norm. norm_modulate stands with the norms.
#include <algorithm>

#include "backends/vulkan/rows.h"
#include "backends/vulkan/walk.h"
#include "graph/ops/rope.h"

namespace zoetrope::vulkan {
namespace {

Result<KernelSpec> prepare_gated_residual(const KernelRequest& request, const Capabilities& caps) {
  const TensorType& x = in(request, 0);
  const int64_t width = x.shape.rank() > 0 ? x.shape[-1] : 1;
  const int64_t rows = width > 0 ? x.shape.elements() / width : 0;
  const RowBroadcast broadcast = broadcast_rows(x.shape, &in(request, 2).shape, nullptr);
  const uint32_t chunk = row_chunk(width, x.dtype);
  Dispatch d = row_dispatch("gated_residual", lay_out_rows(rows, width / chunk, chunk, false, caps),
                            broadcast.rank);
  d.operands = {input(request, 0), input(request, 1), input(request, 2), output(request)};
  d.constants.push_back(broadcast.moves[0]);
  d.params = {u32(rows), u32(width)};
  d.params.insert(d.params.end(), broadcast.params.begin(), broadcast.params.end());
  d.flops = 4 * static_cast<double>(x.shape.elements());
  return KernelSpec{.name = "gated_residual", .dispatches = {d}};
}

Result<KernelSpec> prepare_glu(const KernelRequest& request, const Capabilities& caps) {
  const TensorType& y = out(request);
  const bool halves = !has(request, 1), second = attrs(request).get_bool("gate_second");
  const int64_t width = y.shape.rank() > 0 ? y.shape[-1] : 1;
  const int64_t rows = width > 0 ? y.shape.elements() / width : 0;
  const uint32_t chunk = row_chunk(width, y.dtype);
  Dispatch d = row_dispatch("glu", lay_out_rows(rows, width / chunk, chunk, false, caps), 0);
  d.operands = {input(request, 0), input(request, halves ? 0 : 1), output(request)};
  d.constants.push_back(activation_number(request));
  d.params = {u32(rows), u32(width), u32(halves ? 2 * width : width),
              halves && second ? u32(width) : 0, halves && !second ? u32(width) : 0};
  d.flops = 20 * static_cast<double>(y.shape.elements());
  return KernelSpec{.name = "glu", .dispatches = {d}};
}

Result<KernelSpec> prepare_norm_rope(const KernelRequest& request, const Capabilities& caps) {
  const TensorType& x = in(request, 0);
  const Shape &cos = in(request, 1).shape, &sin = in(request, 2).shape;
  const bool norm = request.node->op == OpKind::kNormRope;
  const bool split = attrs(request).get_string("mode") == "split", weighted = has(request, 3);
  // Without statistics, rows may be as wide as angles stay the same.
  const bool full = norm ? attrs(request).get_bool("full_width") : cos[2] == 1 && sin[2] == 1;
  const int64_t heads = x.shape[2], dim = x.shape[3];
  const int64_t rows = x.shape[0] * x.shape[1] * (full ? 1 : heads);
  const uint32_t chunk = dim % 8 == 0 ? 8 : 1;
  const int64_t head_units = std::max<int64_t>(dim / 2 / (chunk == 8 ? 4 : 1), 1);
  const RowLayout layout = lay_out_rows(rows, (full ? heads : 1) * head_units, chunk, true, caps);
  const bool stay = full && cos[2] == 1 && sin[2] == 1 && layout.lanes % head_units == 0;
  Dispatch d = row_dispatch("norm_rope", layout, 0);
  d.operands = {input(request, 0), input(request, 1), input(request, 2),
                input(request, weighted ? 3 : 0), output(request)};
  d.constants.insert(d.constants.end(), {split, norm, full, weighted, u32(dim), stay});
  d.params = {u32(rows), float_bits(norm ? attrs(request).get_float("epsilon") : 0)};
  for (const Shape& table : {cos, sin})
    for (int64_t step : ops::rope_table_steps(table)) d.params.push_back(u32(step));
  append_divisor(heads, &d.params);
  append_divisor(x.shape[1], &d.params);
  d.flops = 8 * static_cast<double>(x.shape.elements());
  return KernelSpec{.name = norm ? "norm_rope" : "rope", .dispatches = {d}};
}

bool accepts(const KernelRequest& request, const Capabilities&) { return compute_dtypes(request); }

constexpr TableRow kTable[] = {
    {OpKind::kGatedResidual, accepts, prepare_gated_residual},
    {OpKind::kGlu, accepts, prepare_glu},
    {OpKind::kNormRope, accepts, prepare_norm_rope},
    {OpKind::kRope, accepts, prepare_norm_rope},
};

}  // namespace

std::span<const TableRow> fused_table() { return kTable; }

}  // namespace zoetrope::vulkan
