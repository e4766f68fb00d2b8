// dequantize: weights of 8 and 4 bits as numbers, row major or, before the product that reads them,
// in its matrices' order. shaders/dequantize.comp, and the packing of that product.
#include <algorithm>

#include "backends/vulkan/kernel.h"
#include "graph/ops/dequantize.h"

namespace zoetrope::vulkan {
namespace {

enum Input : size_t { kValues, kScale, kOffset };

// How the reader's weight is packed; none where rows are wanted as they are.
std::optional<Packing> packing_of(const KernelRequest& request, const Capabilities& caps) {
  if (request.output_as.reader == nullptr) return std::nullopt;
  auto spec = prepare_kernel(*request.output_as.reader, caps);
  return spec.ok() ? spec->packing : std::nullopt;
}

bool accepts(const KernelRequest& request, const Capabilities& caps) {
  if (!is_compute_dtype(out(request).dtype) || !is_compute_dtype(in(request, kScale).dtype) ||
      (has(request, kOffset) && !is_compute_dtype(in(request, kOffset).dtype)))
    return false;
  // Numbers of another dtype would be rounded twice.
  const auto packing = packing_of(request, caps);
  return request.output_as.reader == nullptr || (packing && packing->dtype == out(request).dtype);
}

Dispatch expand(const KernelRequest& request, const ops::DequantizeShape& s, const Operand& to) {
  const bool chunks = s.columns % 8 == 0 && s.group % 8 == 0;
  const uint32_t chunk = chunks ? 8 : 1;
  const int64_t count = s.rows * s.columns;
  Dispatch d;
  d.shader = "dequantize";
  d.operands = {input(request, kValues), input(request, kScale),
                input(request, has(request, kOffset) ? kOffset : kScale), to};
  d.constants = {chunk, has(request, kOffset)};
  d.params = {u32(count), u32(s.columns), u32(s.row_bytes),
              u32(std::min(s.group, std::max<int64_t>(s.columns, 1))), u32(s.groups)};
  d.group_size = 64;
  d.groups = ceil_div(count, int64_t{d.group_size} * chunk);
  d.flops = 10 * static_cast<double>(count);
  return d;
}

Result<KernelSpec> prepare(const KernelRequest& request, const Capabilities& caps) {
  ZT_ASSIGN_OR_RETURN(const ops::DequantizeShape shape, ops::dequantize_shape(attrs(request)));
  const auto packing = packing_of(request, caps);
  if (!packing)
    return KernelSpec{.name = "dequantize",
                      .dispatches = {expand(request, shape, output(request))}};
  const DType dtype = out(request).dtype;
  const int64_t bytes = out(request).bytes();
  Dispatch pack = packing->dispatch(0, shape.rows);
  pack.operands[0] = workspace(dtype, 0, bytes, false);
  return KernelSpec{.name = "dequantize_packed",
                    .workspace_bytes = bytes,
                    .dispatches = {expand(request, shape, workspace(dtype, 0, bytes, true)), pack}};
}

constexpr TableRow kTable[] = {{OpKind::kDequantize, accepts, prepare}};

}  // namespace

std::span<const TableRow> dequantize_table() { return kTable; }

}  // namespace zoetrope::vulkan
