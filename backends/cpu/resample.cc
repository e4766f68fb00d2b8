// pad and resize_linear.
#include <algorithm>
#include <cstring>

#include "backends/cpu/kernel.h"
#include "backends/cpu/rows.h"
#include "backends/cpu/strided.h"

namespace zoetrope::cpu {
namespace {

enum class PadMode { kConstant, kReplicate, kReflect };

// Source position along one axis, or -1 for the constant.
int64_t pad_source(PadMode mode, int64_t i, int64_t size) {
  if (i >= 0 && i < size) return i;
  if (mode == PadMode::kConstant) return -1;
  if (mode == PadMode::kReplicate) return i < 0 ? 0 : size - 1;
  return i < 0 ? -i : 2 * (size - 1) - i;
}

struct Pad {
  Shape x, y;
  std::vector<int64_t> lo;
  PadMode mode;
  int64_t size;
  char value[8];

  // One row of the last axis; false where an outer index lies in the constant.
  bool source_row(int64_t row, int64_t* offset) const {
    int64_t at = 0, step = x[-1];
    for (int d = x.rank() - 2; d >= 0; --d) {
      const int64_t s = pad_source(mode, row % y[d] - lo[idx(d)], x[d]);
      if (s < 0) return false;
      at += s * step;
      row /= y[d];
      step *= x[d];
    }
    *offset = at;
    return true;
  }
  void fill(char* to, int64_t n) const {
    for (int64_t i = 0; i < n; ++i) std::memcpy(to + i * size, value, idx(size));
  }
  void run(const char* from, char* to, int64_t row) const {
    const int64_t width = y[-1], inside = x[-1], before = lo.back();
    to += row * width * size;
    int64_t offset = 0;
    if (!source_row(row, &offset)) return fill(to, width);
    from += offset * size;
    std::memcpy(to + before * size, from, idx(inside * size));
    for (int64_t i = 0; i < width; ++i) {
      if (i == before) i += inside;
      if (i >= width) break;
      const int64_t s = pad_source(mode, i - before, inside);
      if (s < 0) {
        fill(to + i * size, 1);
      } else {
        std::memcpy(to + i * size, from + s * size, idx(size));
      }
    }
  }
};

bool not_empty(const KernelRequest& request) {
  return out(request).shape.elements() > 0 && out(request).shape.rank() > 0;
}

Prepared prepare_pad(const KernelRequest& request, const Context& context) {
  Pad pad{in(request, 0).shape,
          out(request).shape,
          {},
          PadMode::kConstant,
          dtype_size(out(request).dtype),
          {}};
  pad.lo = ops::ints_or(attrs(request), "lo", pad.x.rank(), 0);
  const std::string& mode = attrs(request).get_string("mode");
  if (mode == "replicate") pad.mode = PadMode::kReplicate;
  if (mode == "reflect") pad.mode = PadMode::kReflect;
  store_element(out(request).dtype, pad.value, 0, attrs(request).get_float("value"));
  const int64_t rows = pad.y.elements() / pad.y[-1];
  return simple_kernel(context, 0, [=](const Call& call, const Context& c) {
    c.pool->run_ranges(rows, rows_per_task(pad.y[-1]), [&](int64_t begin, int64_t end, int) {
      for (int64_t row = begin; row < end; ++row)
        pad.run(call.input<char>(0), call.output<char>(), row);
    });
  });
}

// The two sources of one output along an axis, and the weight of the second.
struct Tap {
  int64_t low, high;
  double fraction;
};

Tap tap_of(int64_t i, int64_t in, int64_t out, bool align_corners) {
  const auto at = static_cast<double>(i);
  double source = 0;
  if (!align_corners) {
    source = std::max(0.0, (at + 0.5) * static_cast<double>(in) / static_cast<double>(out) - 0.5);
  } else if (out > 1) {
    source = at * static_cast<double>(in - 1) / static_cast<double>(out - 1);
  }
  const int64_t low = std::min(static_cast<int64_t>(source), in - 1);
  return {low, std::min(low + 1, in - 1), source - static_cast<double>(low)};
}

// Every output position reads the 2^spatial corners around its source.
Prepared prepare_resize(const KernelRequest& request, const Context& context) {
  const Shape x = in(request, 0).shape, y = out(request).shape;
  const DType dtype = in(request, 0).dtype;
  const bool align_corners = attrs(request).get_bool("align_corners");
  const int spatial = x.rank() - 2;
  const int64_t width = x[-1], positions = y.elements() / width;
  WorkspaceLayout workspace;
  const int64_t line = align_up(width * 4);
  const int64_t scratch = workspace.add(2 * line * context.threads());
  return simple_kernel(context, workspace.bytes(), [=](const Call& call, const Context& c) {
    const Simd& simd = *c.simd;
    const int64_t size = dtype_size(dtype);
    c.pool->run_ranges(
        positions, rows_per_task(width, 4096), [&](int64_t begin, int64_t end, int worker) {
          auto* sum = call.workspace<float>(scratch + 2 * worker * line);
          auto* corner_row = call.workspace<float>(scratch + (2 * worker + 1) * line);
          for (int64_t p = begin; p < end; ++p) {
            Tap taps[4];
            int64_t rest = p;
            for (int d = spatial; d >= 1; --d) {
              taps[d - 1] = tap_of(rest % y[d], x[d], y[d], align_corners);
              rest /= y[d];
            }
            std::fill_n(sum, width, 0.0f);
            for (int corner = 0; corner < 1 << spatial; ++corner) {
              int64_t row = rest;
              double weight = 1;
              for (int d = 0; d < spatial; ++d) {
                const bool high = (corner >> d & 1) != 0;
                row = row * x[d + 1] + (high ? taps[d].high : taps[d].low);
                weight *= high ? taps[d].fraction : 1 - taps[d].fraction;
              }
              if (weight == 0) continue;
              const char* from = call.input<char>(0) + row * width * size;
              const auto factor = static_cast<float>(weight);
              const float* values = reinterpret_cast<const float*>(from);
              if (dtype != DType::kF32) {
                widen(simd, dtype, from, corner_row, width);
                values = corner_row;
              }
              simd.multiply_add(sum, &factor, 0, values, sum, width);
            }
            narrow(simd, dtype, sum, call.output<char>() + p * width * size, width);
          }
        });
  });
}

bool accepts_resize(const KernelRequest& request) {
  return compute_dtypes(request) && out(request).shape.elements() > 0;
}

constexpr TableRow kTable[] = {
    {OpKind::kPad, "copy_pad", Isa::kSse4, not_empty, prepare_pad},
    {OpKind::kResizeLinear, "simd_resize_linear", Isa::kSse4, accepts_resize, prepare_resize},
};

}  // namespace

std::span<const TableRow> resample_table() { return kTable; }

}  // namespace zoetrope::cpu
