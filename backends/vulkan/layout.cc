// Ops that move elements without changing them. All but gather are walks: an output offset and an
// input offset by strides.
#include <numeric>
#include <optional>

#include "backends/vulkan/kernel.h"
#include "backends/vulkan/walk.h"

namespace zoetrope::vulkan {
namespace {

using ops::Strides;
using ops::strides_of;

// One dispatch that moves shape.elements() elements of input `i`.
Dispatch move(const KernelRequest& request, size_t i, const Shape& shape, const Strides& from,
              const Strides& to, int64_t from_base = 0, int64_t to_base = 0) {
  Walk<2> walk(shape, {from, to});
  const int64_t size = dtype_size(out(request).dtype);
  const int64_t run = walk.run(16 / size, {from_base, to_base});
  walk.merge_runs(run);
  const int64_t count = shape.elements() / run;
  Dispatch d;
  d.shader = "copy";
  d.operands = {input(request, i), output(request)};
  d.constants = {u32(walk.rank()), u32(size * run)};
  d.params = {u32(count), u32(from_base / run), u32(to_base / run)};
  append_walk(walk, &d.params);
  d.group_size = 128;
  d.groups = ceil_div(count, d.group_size);
  d.flops = static_cast<double>(count) * 16;
  return d;
}

// The same where 16 bytes are whole elements of both dimensions and of all that surrounds them.
std::optional<Dispatch> swap_chunks(const KernelRequest& request, const Walk<2>& walk, int d) {
  const int64_t n = 16 / dtype_size(out(request).dtype);
  const int last = walk.rank() - 1;
  if ((n != 8 && n != 4) || walk.extents[-1] % n != 0 || walk.extents[d] % n != 0 ||
      !walk.steps_by(n, 0, d) || !walk.steps_by(n, 1, last))
    return std::nullopt;
  const Walk<2> rest = walk.without({last, d});
  // kDown and the tile in shaders/transpose_chunks.comp.
  constexpr int64_t kDown = 8;
  const uint32_t group = n == 8 ? 64 : 256;
  const int64_t width = walk.extents[-1] / n, height = walk.extents[d] / n;
  const int64_t across = ceil_div(width, group / kDown), down = ceil_div(height, kDown);
  Dispatch dispatch;
  dispatch.shader = "transpose_chunks";
  dispatch.operands = {input(request, 0), output(request)};
  dispatch.constants = {u32(rest.rank()), u32(n)};
  dispatch.params = {u32(width), u32(height), u32(walk.strides[0][ops::idx(last)] / n),
                     u32(walk.strides[1][ops::idx(d)] / n)};
  append_divisor(across, &dispatch.params);
  append_divisor(down, &dispatch.params);
  append_walk(rest, &dispatch.params);
  dispatch.group_size = group;
  dispatch.groups = rest.elements() * across * down;
  dispatch.flops = static_cast<double>(out(request).shape.elements()) * 16;
  return dispatch;
}

// Swaps dimension `d` of the walk, along which the input steps by one, with the last one.
Dispatch swap(const KernelRequest& request, const Walk<2>& walk, int d) {
  const int64_t size = dtype_size(out(request).dtype);
  const int last = walk.rank() - 1;
  const int64_t width = walk.extents[-1], height = walk.extents[d];
  const bool pairs = size == 2 && width % 2 == 0 && height % 2 == 0 && walk.steps_by(2, 0, d) &&
                     walk.steps_by(2, 1, last);
  const Walk<2> rest = walk.without({last, d});
  const int64_t side = pairs ? 64 : 32;
  const int64_t across = ceil_div(width, side), down = ceil_div(height, side);
  Dispatch dispatch;
  dispatch.shader = "transpose";
  dispatch.operands = {input(request, 0), output(request)};
  dispatch.constants = {u32(rest.rank()), u32(size), pairs};
  dispatch.params = {u32(width), u32(height), u32(walk.strides[0][ops::idx(last)]),
                     u32(walk.strides[1][ops::idx(d)])};
  append_divisor(across, &dispatch.params);
  append_divisor(down, &dispatch.params);
  append_walk(rest, &dispatch.params);
  dispatch.group_size = 128;
  dispatch.groups = rest.elements() * across * down;
  dispatch.flops = static_cast<double>(out(request).shape.elements()) * 16;
  return dispatch;
}

Result<KernelSpec> prepare_transpose(const KernelRequest& request, const Capabilities&) {
  const Strides from = ops::transposed_strides(in(request, 0).shape, attrs(request));
  const Shape& shape = out(request).shape;
  const Walk<2> walk(shape, {from, strides_of(shape)});
  // Tiles pay where both sides fill half of one.
  constexpr int64_t kLeast = 16;
  if (dtype_size(out(request).dtype) <= 4 && walk.step(0) != 1 && walk.extents[-1] >= kLeast)
    for (int d = 0; d + 1 < walk.rank(); ++d)
      if (walk.strides[0][ops::idx(d)] == 1 && walk.extents[d] >= kLeast) {
        if (auto chunks = swap_chunks(request, walk, d))
          return KernelSpec{.name = "transpose_chunks", .dispatches = {*chunks}};
        return KernelSpec{.name = "transpose", .dispatches = {swap(request, walk, d)}};
      }
  return KernelSpec{.name = "transpose",
                    .dispatches = {move(request, 0, shape, from, strides_of(shape))}};
}

Result<KernelSpec> prepare_broadcast(const KernelRequest& request, const Capabilities&) {
  const Shape& shape = out(request).shape;
  return KernelSpec{
      .name = "broadcast",
      .dispatches = {move(request, 0, shape, ops::broadcast_strides(in(request, 0).shape, shape),
                          strides_of(shape))}};
}

Result<KernelSpec> prepare_slice(const KernelRequest& request, const Capabilities&) {
  const Shape& x = in(request, 0).shape;
  ZT_ASSIGN_OR_RETURN(const int axis, normalize_axis(attrs(request).get_int("axis"), x.rank()));
  int64_t start = attrs(request).get_int("start");
  if (start < 0) start += x[axis];
  Strides walk = strides_of(x);
  const auto a = static_cast<size_t>(axis);
  const int64_t base = start * walk[a];
  walk[a] *= attrs(request).get_int("step");
  const Shape& shape = out(request).shape;
  return KernelSpec{.name = "slice",
                    .dispatches = {move(request, 0, shape, walk, strides_of(shape), base)}};
}

Result<KernelSpec> prepare_concat(const KernelRequest& request, const Capabilities&) {
  const Shape& shape = out(request).shape;
  ZT_ASSIGN_OR_RETURN(const int axis, normalize_axis(attrs(request).get_int("axis"), shape.rank()));
  const Strides to = strides_of(shape);
  KernelSpec spec{.name = "concat", .dispatches = {}};
  int64_t base = 0;
  for (size_t i = 0; i < request.inputs.size(); ++i) {
    const Shape& part = in(request, i).shape;
    if (part.elements() > 0)
      spec.dispatches.push_back(move(request, i, part, strides_of(part), to, 0, base));
    base += part[axis] * to[static_cast<size_t>(axis)];
  }
  return spec;
}

Result<KernelSpec> prepare_repeat(const KernelRequest& request, const Capabilities&) {
  const Shape& x = in(request, 0).shape;
  ZT_ASSIGN_OR_RETURN(const int axis, normalize_axis(attrs(request).get_int("axis"), x.rank()));
  const int64_t rows = ops::extent(x, 0, axis + 1), inner = ops::extent(x, axis + 1, x.rank());
  const int64_t times = attrs(request).get_int("times");
  const Shape shape{rows, times, inner};
  return KernelSpec{
      .name = "repeat",
      .dispatches = {move(request, 0, shape, {inner, 0, 1}, {times * inner, inner, 1})}};
}

Result<KernelSpec> prepare_gather(const KernelRequest& request, const Capabilities&) {
  const Shape& table = in(request, 0).shape;
  const int64_t inner = ops::extent(table, 1, table.rank());
  const int64_t size = dtype_size(out(request).dtype);
  const int64_t run = std::gcd(inner, 16 / size);
  const int64_t count = out(request).shape.elements() / std::max<int64_t>(run, 1);
  Dispatch d;
  d.shader = "gather";
  d.operands = {input(request, 0), input(request, 1), output(request)};
  d.constants = {u32(size * run)};
  d.params = {u32(count), u32(table[0])};
  append_divisor(inner / run, &d.params);
  d.group_size = 128;
  d.groups = ceil_div(count, d.group_size);
  d.flops = static_cast<double>(count) * 16;
  return KernelSpec{.name = "gather", .dispatches = {d}};
}

constexpr TableRow kTable[] = {
    {OpKind::kTranspose, nullptr, prepare_transpose},
    {OpKind::kBroadcast, nullptr, prepare_broadcast},
    {OpKind::kSlice, nullptr, prepare_slice},
    {OpKind::kConcat, nullptr, prepare_concat},
    {OpKind::kRepeat, nullptr, prepare_repeat},
    {OpKind::kGather, nullptr, prepare_gather},
};

}  // namespace

std::span<const TableRow> layout_table() { return kTable; }

}  // namespace zoetrope::vulkan
