// Ops that move elements without changing them: an output offset and an input offset by strides;
// gathers; padding.
#include "backends/cuda/kernels/layout.h"

#include <algorithm>
#include <numeric>

#include "backends/cuda/walk.h"
#include "graph/elements.h"

namespace zoetrope::cuda {
namespace {

using ops::Strides;
using ops::strides_of;

// Moves shape.elements() elements of an input.
CopyParams move(const KernelRequest& request, const Shape& shape, const Strides& from,
                const Strides& to, int64_t from_base = 0, int64_t to_base = 0) {
  ops::Walk<2> walk(shape, {from, to});
  const int64_t size = dtype_size(out(request).dtype);
  const int64_t run = walk.run(16 / size, {from_base, to_base});
  walk.merge_runs(run);
  CopyParams p;
  p.unit_bytes = static_cast<int>(size * run);
  p.count = shape.elements() / run;
  p.walk = walk_params(walk);
  // Offsets until the call brings addresses.
  p.from = reinterpret_cast<const void*>(from_base * size);
  p.to = reinterpret_cast<void*>(to_base * size);
  return p;
}

cudaError_t run_move(const Call& call, size_t i, CopyParams p) {
  p.from = call.input<char>(i) + reinterpret_cast<intptr_t>(p.from);
  p.to = call.output<char>() + reinterpret_cast<intptr_t>(p.to);
  return copy_units(p, call.stream);
}

Prepared move_kernel(const Context& context, const CopyParams& p) {
  return simple_kernel(context, 0, [p](const Call& call) { return run_move(call, 0, p); });
}

// Swaps dimension `d` of the walk, along which the input steps by one, with the last one.
TransposeParams swap(const KernelRequest& request, const ops::Walk<2>& walk, int d) {
  const int last = walk.rank() - 1;
  TransposeParams p;
  p.element_bytes = static_cast<int>(dtype_size(out(request).dtype));
  p.width = walk.extents[d];
  p.height = walk.extents[-1];
  p.from_step = walk.strides[0][ops::idx(last)];
  p.to_step = walk.strides[1][ops::idx(d)];
  const ops::Walk<2> rest = walk.without({last, d});
  p.outer = rest.elements();
  p.walk = walk_params(rest);
  const int64_t chunk = 16 / p.element_bytes;
  const auto whole = [chunk](int64_t n) { return n % chunk == 0; };
  p.chunks = whole(p.width) && whole(p.height) && whole(p.from_step) && whole(p.to_step);
  for (const Strides& strides : rest.strides)
    p.chunks &= std::all_of(strides.begin(), strides.begin() + rest.rank(), whole);
  return p;
}

Prepared prepare_transpose(const KernelRequest& request, const Context& context) {
  const Strides from = ops::transposed_strides(in(request, 0).shape, attrs(request));
  const Shape& shape = out(request).shape;
  const ops::Walk<2> walk(shape, {from, strides_of(shape)});
  // Tiles pay where both sides fill half of one.
  constexpr int64_t kLeast = 16;
  if (walk.step(0) != 1 && walk.extents[-1] >= kLeast)
    for (int d = 0; d + 1 < walk.rank(); ++d)
      if (walk.strides[0][ops::idx(d)] == 1 && walk.extents[d] >= kLeast)
        return simple_kernel(context, 0, [p = swap(request, walk, d)](const Call& call) {
          TransposeParams now = p;
          now.from = call.input(0);
          now.to = call.output();
          return transpose_tiles(now, call.stream);
        });
  return move_kernel(context, move(request, shape, from, strides_of(shape)));
}

Prepared prepare_broadcast(const KernelRequest& request, const Context& context) {
  const Shape& shape = out(request).shape;
  return move_kernel(
      context,
      move(request, shape, ops::broadcast_strides(in(request, 0).shape, shape), strides_of(shape)));
}

Prepared prepare_slice(const KernelRequest& request, const Context& context) {
  const Shape& x = in(request, 0).shape;
  ZT_ASSIGN_OR_RETURN(const int axis, normalize_axis(attrs(request).get_int("axis"), x.rank()));
  int64_t start = attrs(request).get_int("start");
  if (start < 0) start += x[axis];
  Strides walk = strides_of(x);
  const auto a = static_cast<size_t>(axis);
  const int64_t base = start * walk[a];
  walk[a] *= attrs(request).get_int("step");
  const Shape& shape = out(request).shape;
  return move_kernel(context, move(request, shape, walk, strides_of(shape), base));
}

Prepared prepare_concat(const KernelRequest& request, const Context& context) {
  const Shape& shape = out(request).shape;
  ZT_ASSIGN_OR_RETURN(const int axis, normalize_axis(attrs(request).get_int("axis"), shape.rank()));
  const Strides to = strides_of(shape);
  std::vector<CopyParams> moves;
  int64_t base = 0;
  for (size_t i = 0; i < request.inputs.size(); ++i) {
    const Shape& part = in(request, i).shape;
    moves.push_back(move(request, part, strides_of(part), to, 0, base));
    base += part[axis] * to[static_cast<size_t>(axis)];
  }
  return simple_kernel(context, 0, [moves](const Call& call) {
    for (size_t i = 0; i < moves.size(); ++i)
      if (moves[i].count > 0)
        if (const cudaError_t result = run_move(call, i, moves[i]); result != cudaSuccess)
          return result;
    return cudaSuccess;
  });
}

Prepared prepare_repeat(const KernelRequest& request, const Context& context) {
  const Shape& x = in(request, 0).shape;
  ZT_ASSIGN_OR_RETURN(const int axis, normalize_axis(attrs(request).get_int("axis"), x.rank()));
  const int64_t rows = ops::extent(x, 0, axis + 1), inner = ops::extent(x, axis + 1, x.rank());
  const int64_t times = attrs(request).get_int("times");
  const Shape shape{rows, times, inner};
  return move_kernel(context,
                     move(request, shape, Strides{inner, 0, 1}, Strides{times * inner, inner, 1}));
}

Prepared prepare_gather(const KernelRequest& request, const Context& context) {
  const Shape& table = in(request, 0).shape;
  const int64_t inner = ops::extent(table, 1, table.rank());
  const int64_t size = dtype_size(out(request).dtype), run = std::gcd(inner, 16 / size);
  GatherParams p;
  p.wide_indices = in(request, 1).dtype == DType::kI64;
  p.unit_bytes = static_cast<int>(size * run);
  p.rows = table[0];
  p.row = run > 0 ? inner / run : 0;
  p.count = run > 0 ? out(request).shape.elements() / run : 0;
  return simple_kernel(context, 0, [p](const Call& call) {
    GatherParams now = p;
    now.table = call.input(0);
    now.indices = call.input(1);
    now.out = call.output();
    return gather(now, call.stream);
  });
}

Prepared prepare_pad(const KernelRequest& request, const Context& context) {
  const Shape &x = in(request, 0).shape, &y = out(request).shape;
  std::vector<int64_t> lo = attrs(request).get_ints("lo");
  lo.resize(static_cast<size_t>(x.rank()), 0);
  const std::string& mode = attrs(request).get_string("mode");
  const int64_t size = dtype_size(out(request).dtype);
  PadParams p;
  p.mode = mode == "constant"    ? PadMode::kConstant
           : mode == "replicate" ? PadMode::kReplicate
                                 : PadMode::kReflect;
  for (int64_t i = 0; i < 16 / size; ++i)
    store_element(out(request).dtype, p.value, i, attrs(request).get_float("value"));
  // Neighbours without padding become one dimension.
  int64_t extents[kWalkRank];
  bool plain = false;
  for (int d = 0; d < x.rank(); ++d) {
    const bool same = x[d] == y[d];
    if (same && plain) {
      extents[p.rank - 1] *= y[d];
      p.sizes[p.rank - 1] *= x[d];
    } else {
      extents[p.rank] = y[d];
      p.sizes[p.rank] = x[d];
      p.before[p.rank++] = same ? 0 : lo[static_cast<size_t>(d)];
    }
    plain = same;
  }
  // Whole runs move where the last dimension is not padded.
  const int last = p.rank - 1;
  const int64_t run = plain && p.sizes[last] > 0 ? std::gcd(p.sizes[last], 16 / size) : 1;
  if (plain) {
    extents[last] /= run;
    p.sizes[last] /= run;
  }
  for (int d = 0; d < p.rank; ++d) p.extents[d] = Divider(extents[d]);
  p.unit_bytes = static_cast<int>(size * run);
  p.count = y.elements() / run;
  return simple_kernel(context, 0, [p](const Call& call) {
    PadParams now = p;
    now.x = call.input(0);
    now.y = call.output();
    return pad(now, call.stream);
  });
}

constexpr TableRow kTable[] = {
    {OpKind::kTranspose, "transpose", nullptr, prepare_transpose},
    {OpKind::kBroadcast, "broadcast", nullptr, prepare_broadcast},
    {OpKind::kSlice, "slice", nullptr, prepare_slice},
    {OpKind::kConcat, "concat", nullptr, prepare_concat},
    {OpKind::kRepeat, "repeat", nullptr, prepare_repeat},
    {OpKind::kGather, "gather", nullptr, prepare_gather},
    {OpKind::kPad, "pad", nullptr, prepare_pad},
};

}  // namespace

std::span<const TableRow> layout_table() { return kTable; }

}  // namespace zoetrope::cuda
