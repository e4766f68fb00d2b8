// Ops that move elements: transpose, broadcast, slice, repeat, concat, gather. All but the last two
// are one strided copy; elements are opaque words of 1, 2, 4 or 8 bytes.
#include <algorithm>
#include <cstring>

#include "backends/cpu/kernel.h"
#include "backends/cpu/strided.h"
#include "graph/builder.h"

namespace zoetrope::cpu {
namespace {

template <typename T>
void copy_run(const T* x, int64_t step, T* y, int64_t n) {
  if (step == 1) {
    std::memcpy(y, x, static_cast<size_t>(n) * sizeof(T));
  } else if (step == 0) {
    std::fill_n(y, n, *x);
  } else {
    for (int64_t i = 0; i < n; ++i) y[i] = x[i * step];
  }
}

// The word type of an element size, as a null pointer for overload-free dispatch.
template <typename F>
void with_word(int64_t size, const F& f) {
  switch (size) {
    case 1: return f(static_cast<uint8_t*>(nullptr));
    case 2: return f(static_cast<uint16_t*>(nullptr));
    case 4: return f(static_cast<uint32_t*>(nullptr));
    default: return f(static_cast<uint64_t*>(nullptr));
  }
}

// y, contiguous with the walk's shape, takes x at the walk's offsets from `base`.
std::unique_ptr<CpuKernel> strided_copy(const Context& context, const Walk<1>& walk, int64_t base,
                                        int64_t size) {
  return simple_kernel(context, 0, [=](const Call& call, const Context& c) {
    c.pool->run_ranges(walk.elements(), kGrain, [&](int64_t begin, int64_t end, int) {
      with_word(size, [&]<typename T>(T*) {
        walk.for_range(begin, end, [&](int64_t i, const auto& offsets, int64_t count) {
          copy_run(call.input<T>(0) + base + offsets[0], walk.step(0), call.output<T>() + i, count);
        });
      });
    });
  });
}

// A permutation that moves the dimension which is contiguous in x: 32x32 tiles of it and of the
// dimension which is contiguous in y, so that both sides use whole cache lines.
struct TiledTranspose {
  static constexpr int64_t kTile = 32;
  Shape outer;  // all other dimensions
  ops::Strides x_outer, y_outer;
  int64_t rows = 0, columns = 0;    // extent of the dimension contiguous in x, and in y
  int64_t x_column = 0, y_row = 0;  // their strides on the other side

  TiledTranspose(const Walk<1>& walk, int contiguous) {
    const ops::Strides y = ops::strides_of(walk.extents);
    const int last = walk.extents.rank() - 1;
    rows = walk.extents[contiguous], columns = walk.extents[last];
    x_column = walk.step(0), y_row = y[idx(contiguous)];
    x_outer = y_outer = {};
    for (int d = 0; d < last; ++d) {
      if (d == contiguous) continue;
      x_outer[idx(outer.rank())] = walk.strides[0][idx(d)];
      y_outer[idx(outer.rank())] = y[idx(d)];
      outer.push_back(walk.extents[d]);
    }
    if (outer.rank() == 0) outer.push_back(1);
  }

  int64_t row_tiles() const { return (rows + kTile - 1) / kTile; }

  // One task: a strip of kTile rows for one index of the outer dimensions.
  template <typename T>
  void run(const T* x, T* y, int64_t task) const {
    int64_t rest = task / row_tiles();
    const int64_t first = task % row_tiles() * kTile, end = std::min(first + kTile, rows);
    for (int d = outer.rank() - 1; d >= 0; --d) {
      x += rest % outer[d] * x_outer[idx(d)];
      y += rest % outer[d] * y_outer[idx(d)];
      rest /= outer[d];
    }
    for (int64_t c0 = 0; c0 < columns; c0 += kTile) {
      const int64_t c1 = std::min(c0 + kTile, columns);
      for (int64_t r = first; r < end; ++r)
        for (int64_t c = c0; c < c1; ++c) y[r * y_row + c] = x[c * x_column + r];
    }
  }
};

Prepared prepare_transpose(const KernelRequest& request, const Context& context) {
  const Walk<1> walk(out(request).shape,
                     {ops::transposed_strides(in(request, 0).shape, attrs(request))});
  const int64_t size = dtype_size(out(request).dtype);
  int contiguous = -1;
  for (int d = 0; d + 1 < walk.extents.rank(); ++d)
    if (walk.strides[0][idx(d)] == 1) contiguous = d;
  if (walk.step(0) == 1 || contiguous < 0) return strided_copy(context, walk, 0, size);
  const TiledTranspose tiles(walk, contiguous);
  return simple_kernel(context, 0, [=](const Call& call, const Context& c) {
    c.pool->run(tiles.outer.elements() * tiles.row_tiles(), [&](int64_t task, int) {
      with_word(size, [&]<typename T>(T*) { tiles.run(call.input<T>(0), call.output<T>(), task); });
    });
  });
}

Prepared prepare_broadcast(const KernelRequest& request, const Context& context) {
  const Shape& shape = out(request).shape;
  return strided_copy(context,
                      Walk<1>(shape, {ops::broadcast_strides(in(request, 0).shape, shape)}), 0,
                      dtype_size(out(request).dtype));
}

Prepared prepare_slice(const KernelRequest& request, const Context& context) {
  const Shape& shape = in(request, 0).shape;
  const int axis = *normalize_axis(attrs(request).get_int("axis"), shape.rank());
  int64_t start = attrs(request).get_int("start");
  if (start < 0) start += shape[axis];
  ops::Strides steps = ops::strides_of(shape);
  const int64_t base = start * steps[idx(axis)];
  steps[idx(axis)] *= attrs(request).get_int("step");
  return strided_copy(context, Walk<1>(out(request).shape, {steps}), base,
                      dtype_size(out(request).dtype));
}

Prepared prepare_repeat(const KernelRequest& request, const Context& context) {
  const Shape& shape = in(request, 0).shape;
  const int axis = *normalize_axis(attrs(request).get_int("axis"), shape.rank());
  const int64_t inner = ops::extent(shape, axis + 1, shape.rank());
  const Shape expanded{ops::extent(shape, 0, axis + 1), attrs(request).get_int("times"), inner};
  ops::Strides steps{};
  steps[0] = inner, steps[1] = 0, steps[2] = 1;
  return strided_copy(context, Walk<1>(expanded, {steps}), 0, dtype_size(out(request).dtype));
}

bool not_empty(const KernelRequest& request) { return out(request).shape.elements() > 0; }

Prepared prepare_concat(const KernelRequest& request, const Context& context) {
  const Shape& shape = out(request).shape;
  const int axis = *normalize_axis(attrs(request).get_int("axis"), shape.rank());
  const int64_t inner = ops::extent(shape, axis + 1, shape.rank()) * dtype_size(out(request).dtype);
  const int64_t rows = ops::extent(shape, 0, axis), row = shape[axis] * inner;
  std::vector<int64_t> begins{0};  // of the parts, in bytes of a row
  for (const TensorType* part : request.inputs)
    begins.push_back(begins.back() + part->shape[axis] * inner);
  // Long rows are cut, short ones taken together.
  constexpr int64_t kBytes = 65536;
  const int64_t cuts = std::max<int64_t>(1, row / kBytes);
  const int64_t grain = std::max<int64_t>(1, kBytes / row);
  return simple_kernel(context, 0, [=](const Call& call, const Context& c) {
    const auto copy_row = [&](int64_t r, int64_t begin, int64_t end) {
      for (size_t p = 0; p + 1 < begins.size(); ++p) {
        const int64_t from = std::max(begin, begins[p]), to = std::min(end, begins[p + 1]);
        if (from >= to) continue;
        std::memcpy(call.output<char>() + r * row + from,
                    call.input<char>(p) + r * (begins[p + 1] - begins[p]) + from - begins[p],
                    idx(to - from));
      }
    };
    c.pool->run_ranges(rows * cuts, cuts > 1 ? 1 : grain, [&](int64_t begin, int64_t end, int) {
      for (int64_t task = begin; task < end; ++task)
        copy_row(task / cuts, row * (task % cuts) / cuts, row * (task % cuts + 1) / cuts);
    });
  });
}

Prepared prepare_gather(const KernelRequest& request, const Context& context) {
  const Shape& table = in(request, 0).shape;
  const bool wide = in(request, 1).dtype == DType::kI64;
  const int64_t row = ops::extent(table, 1, table.rank()) * dtype_size(in(request, 0).dtype);
  const int64_t count = in(request, 1).shape.elements(), last = table[0] - 1;
  return simple_kernel(context, 0, [=](const Call& call, const Context& c) {
    c.pool->run_ranges(
        count, std::max<int64_t>(1, 65536 / row), [&](int64_t begin, int64_t end, int) {
          for (int64_t i = begin; i < end; ++i) {
            const int64_t wanted = wide ? call.input<int64_t>(1)[i] : call.input<int32_t>(1)[i];
            std::memcpy(call.output<char>() + i * row,
                        call.input<char>(0) + std::clamp<int64_t>(wanted, 0, last) * row, idx(row));
          }
        });
  });
}

constexpr TableRow kTable[] = {
    {OpKind::kTranspose, "copy_transpose", Isa::kSse4, not_empty, prepare_transpose},
    {OpKind::kBroadcast, "copy_broadcast", Isa::kSse4, not_empty, prepare_broadcast},
    {OpKind::kSlice, "copy_slice", Isa::kSse4, not_empty, prepare_slice},
    {OpKind::kRepeat, "copy_repeat", Isa::kSse4, not_empty, prepare_repeat},
    {OpKind::kConcat, "copy_concat", Isa::kSse4, not_empty, prepare_concat},
    {OpKind::kGather, "copy_gather", Isa::kSse4, not_empty, prepare_gather},
};

}  // namespace

std::span<const TableRow> layout_table() { return kTable; }

}  // namespace zoetrope::cpu
