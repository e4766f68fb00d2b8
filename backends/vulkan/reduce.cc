// Reductions and softmax.
#include <algorithm>

#include "backends/vulkan/kernel.h"
#include "backends/vulkan/rows.h"
#include "backends/vulkan/walk.h"

namespace zoetrope::vulkan {
namespace {

constexpr uint32_t kGroup = 128;  // kMostInGroup in shaders/group_reduce.glsl

// Lanes of a result of `units` chunks. Results whose elements stand apart are read side by side, at
// least `beside` of them where there are as many.
uint32_t lanes_of(int64_t results, int64_t units, bool rows, uint32_t beside) {
  uint32_t lanes = 1;
  while (lanes < kGroup && 2 * lanes <= units &&
         (rows || kGroup / lanes > beside || kGroup / lanes > results))
    lanes *= 2;
  return lanes;
}
// Enough for whole lines of memory.
uint32_t beside_of(uint32_t chunk) { return chunk > 1 ? 8 : 32; }

Dispatch grouped(const char* shader, int64_t results, uint32_t chunk, uint32_t lanes, bool rows) {
  Dispatch d;
  d.shader = shader;
  d.constants = {chunk, lanes, rows};
  d.group_size = kGroup;
  d.groups = ceil_div(results, kGroup / lanes);
  return d;
}

// One run of reduce.comp; `results` or, with `rows`, `units` are chunks.
Dispatch reduce(Operand from, Operand to, bool maximum, const Walk<1>& kept, const Walk<1>& gone,
                int64_t results, int64_t units, uint32_t chunk, bool rows, int64_t parts,
                double scale) {
  Dispatch d = grouped("reduce", results * parts, chunk,
                       lanes_of(results, units / parts, rows, beside_of(chunk)), rows);
  d.operands = {from, to};
  d.constants.insert(d.constants.end(), {maximum, u32(kept.rank()), u32(gone.rank())});
  const auto by = divisor(static_cast<uint64_t>(std::max<int64_t>(results, 1)));
  d.params = {u32(results), u32(units), u32(ceil_div(units, parts)), u32(parts), float_bits(scale),
              by[0],        by[1]};
  append_walk(kept, &d.params);
  append_walk(gone, &d.params);
  d.flops = static_cast<double>(results * units * chunk) * 8;
  return d;
}

// Elements along the last dimension of `along`, which has step 1, that can be read as one.
uint32_t chunk_of(const Walk<1>& along, const Walk<1>& other, DType dtype) {
  int64_t n = dtype == DType::kF32 ? 4 : 8;
  const auto limit = [&](int64_t value) {
    while (value % n != 0) n /= 2;
  };
  limit(along.extents[-1]);
  for (int d = 0; d + 1 < along.rank(); ++d) limit(along.strides[0][ops::idx(d)]);
  for (int d = 0; d < other.rank(); ++d) limit(other.strides[0][ops::idx(d)]);
  return n < 4 ? 1 : u32(n);
}

Result<KernelSpec> prepare_reduce(const KernelRequest& request, const Capabilities&) {
  const auto [kept, gone] = ops::reduction_walks(in(request, 0).shape, attrs(request));
  const int64_t count = gone.elements();
  const bool rows = gone.step(0) == 1, maximum = request.node->op == OpKind::kReduceMax;
  const DType dtype = in(request, 0).dtype;
  const uint32_t chunk = rows                ? chunk_of(gone, kept, dtype)
                         : kept.step(0) == 1 ? chunk_of(kept, gone, dtype)
                                             : 1;
  // Chunks, of one or the other.
  const int64_t results = kept.elements() / (rows ? 1 : chunk);
  const int64_t units = count / (rows ? chunk : 1);
  const double scale = request.node->op == OpKind::kReduceMean
                           ? 1.0 / static_cast<double>(std::max<int64_t>(count, 1))
                           : 1.0;
  // Few groups leave most of a GPU idle: long reductions are cut.
  const uint32_t lanes = lanes_of(results, units, rows, beside_of(chunk));
  const int64_t groups = ceil_div(results, kGroup / lanes);
  int64_t parts = std::min(units / (8 * lanes), 1024 / std::max<int64_t>(groups, 1));
  if (parts < 2)
    return KernelSpec{.name = "reduce",
                      .dispatches = {reduce(input(request, 0), output(request), maximum, kept, gone,
                                            results, units, chunk, rows, 1, scale)}};
  parts = ceil_div(units, ceil_div(units, parts));
  const int64_t wide = rows ? 1 : chunk, bytes = parts * results * wide * 4;
  const Walk<1> side(Shape{results * wide}, {ops::Strides{1}}),
      apart(Shape{parts}, {ops::Strides{results * wide}});
  return KernelSpec{
      .name = "reduce_parts",
      .workspace_bytes = bytes,
      .dispatches = {reduce(input(request, 0), workspace(DType::kF32, 0, bytes, true), maximum,
                            kept, gone, results, units, chunk, rows, parts, 1),
                     reduce(workspace(DType::kF32, 0, bytes, false), output(request), maximum, side,
                            apart, results, parts, u32(wide), false, 1, scale)}};
}

Result<KernelSpec> prepare_softmax(const KernelRequest& request, const Capabilities& caps) {
  const Shape& x = in(request, 0).shape;
  ZT_ASSIGN_OR_RETURN(const int axis, normalize_axis(attrs(request).get_int("axis"), x.rank()));
  int64_t inner = 1;
  for (int d = axis + 1; d < x.rank(); ++d) inner *= x[d];
  const int64_t count = x[axis], columns = count == 0 ? 0 : x.elements() / count;
  const uint32_t chunk = inner == 1 ? row_chunk(count, in(request, 0).dtype) : 1;
  const int64_t units = count / chunk;
  if (const RowLayout layout = lay_out_rows(columns, units, chunk, true, caps);
      inner == 1 && units > 0 && layout.keep > 0) {
    Dispatch d = row_dispatch("softmax_rows", layout, 0);
    d.operands = {input(request, 0), output(request)};
    d.params = {u32(columns), u32(count)};
    d.flops = static_cast<double>(x.elements()) * 40;
    return KernelSpec{.name = "softmax_rows", .dispatches = {d}};
  }
  Dispatch d =
      grouped("softmax", columns, chunk, lanes_of(columns, units, inner == 1, 32), inner == 1);
  d.operands = {input(request, 0), output(request)};
  d.params = {u32(columns), u32(units)};
  append_divisor(inner, &d.params);
  d.flops = static_cast<double>(x.elements()) * 40;
  return KernelSpec{.name = "softmax", .dispatches = {d}};
}

bool accepts(const KernelRequest& request, const Capabilities&) { return compute_dtypes(request); }

constexpr TableRow kTable[] = {
    {OpKind::kReduceSum, accepts, prepare_reduce},
    {OpKind::kReduceMean, accepts, prepare_reduce},
    {OpKind::kReduceMax, accepts, prepare_reduce},
    {OpKind::kSoftmax, accepts, prepare_softmax},
};

}  // namespace

std::span<const TableRow> reduce_table() { return kTable; }

}  // namespace zoetrope::vulkan
