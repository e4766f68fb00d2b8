// rms_norm, layer_norm, group_norm, softmax and rope: one row of the last axis after the other.
#include <algorithm>
#include <cmath>

#include "backends/cpu/kernel.h"
#include "backends/cpu/rows.h"
#include "backends/cpu/strided.h"

namespace zoetrope::cpu {

RowStatistics rms_statistics(const Simd& simd, const float* x, int64_t n, double epsilon) {
  const double mean = static_cast<double>(simd.sum_squares(x, n)) / static_cast<double>(n);
  return {0.0f, 0.0f, static_cast<float>(1 / std::sqrt(mean + epsilon))};
}

RowStatistics layer_statistics(const Simd& simd, const float* x, int64_t n, double epsilon) {
  const auto count = static_cast<double>(n);
  const float mean = simd.sum(x, n) / static_cast<float>(n);
  float distances, squares;
  simd.sum_distances(x, mean, n, &distances, &squares);
  const double rest = distances / count, variance = squares / count - rest * rest;
  return {mean, static_cast<float>(rest), static_cast<float>(1 / std::sqrt(variance + epsilon))};
}

namespace {

Prepared prepare_norm(const KernelRequest& request, const Context& context) {
  const Shape& shape = in(request, 0).shape;
  const int64_t width = shape[-1], rows = shape.elements() / width;
  const double epsilon = attrs(request).get_float("epsilon");
  const bool rms = request.node->op == OpKind::kRmsNorm;
  WorkspaceLayout workspace;
  const VectorOperand weight = VectorOperand::reserve(request, 1, &workspace);
  const VectorOperand bias = VectorOperand::reserve(request, 2, &workspace);
  const RowIo io = RowIo::reserve(in(request, 0).dtype, width, context.threads(), &workspace);
  return simple_kernel(context, workspace.bytes(), [=](const Call& call, const Context& c) {
    const Simd& simd = *c.simd;
    const float *w = weight.load(call, simd), *b = bias.load(call, simd);
    c.pool->run_ranges(rows, rows_per_task(width), [&](int64_t begin, int64_t end, int worker) {
      for (int64_t row = begin; row < end; ++row) {
        const float* x = io.read(call, simd, call.input(0), row, worker);
        const RowStatistics s = rms ? rms_statistics(simd, x, width, epsilon)
                                    : layer_statistics(simd, x, width, epsilon);
        float* y = io.begin(call, call.output(), row, worker);
        simd.normalize(x, s, w, b, y, width);
        io.commit(simd, y, call.output(), row);
      }
    });
  });
}

// Statistics of one group of one sample, in double over f32 runs.
struct GroupNorm {
  int64_t positions, width, part;
  double epsilon;
  RowIo io;

  RowStatistics statistics(const Call& call, const Simd& simd, int64_t sample, int64_t group,
                           int worker) const {
    const double n = static_cast<double>(positions * part);
    double sum = 0, rest = 0, squares = 0;
    for (int64_t p = 0; p < positions; ++p)
      sum += simd.sum(read(call, simd, sample * positions + p, group, worker), part);
    const auto mean = static_cast<float>(sum / n);
    for (int64_t p = 0; p < positions; ++p) {
      float distance, square;
      simd.sum_distances(read(call, simd, sample * positions + p, group, worker), mean, part,
                         &distance, &square);
      rest += distance;
      squares += square;
    }
    rest /= n;
    return {mean, static_cast<float>(rest),
            static_cast<float>(1 / std::sqrt(squares / n - rest * rest + epsilon))};
  }
  const float* read(const Call& call, const Simd& simd, int64_t row, int64_t group,
                    int worker) const {
    return io.read(call, simd, call.input(0), row * (width / part) + group, worker);
  }
};

Prepared prepare_group_norm(const KernelRequest& request, const Context& context) {
  const Shape& shape = in(request, 0).shape;
  const int64_t width = shape[-1], groups = attrs(request).get_int("groups");
  GroupNorm g{shape.elements() / width / shape[0],
              width,
              width / groups,
              attrs(request).get_float("epsilon"),
              {}};
  WorkspaceLayout workspace;
  const VectorOperand weight = VectorOperand::reserve(request, 1, &workspace);
  const VectorOperand bias = VectorOperand::reserve(request, 2, &workspace);
  g.io = RowIo::reserve(in(request, 0).dtype, g.part, context.threads(), &workspace);
  const int64_t samples = shape[0];
  return simple_kernel(context, workspace.bytes(), [=](const Call& call, const Context& c) {
    const Simd& simd = *c.simd;
    const float *w = weight.load(call, simd), *b = bias.load(call, simd);
    c.pool->run(samples * groups, [&](int64_t task, int worker) {
      const int64_t sample = task / groups, group = task % groups;
      const RowStatistics s = g.statistics(call, simd, sample, group, worker);
      for (int64_t p = 0; p < g.positions; ++p) {
        const int64_t row = (sample * g.positions + p) * groups + group;
        const float* x = g.io.read(call, simd, call.input(0), row, worker);
        float* y = g.io.begin(call, call.output(), row, worker);
        simd.normalize(x, s, w ? w + group * g.part : nullptr, b ? b + group * g.part : nullptr, y,
                       g.part);
        g.io.commit(simd, y, call.output(), row);
      }
    });
  });
}

void softmax_row(const Simd& simd, const float* x, float* y, int64_t n) {
  const float sum = simd.exp_sum(x, simd.max(x, n), y, n);
  simd.scale(y, 1 / sum, y, n);
}

Prepared prepare_softmax(const KernelRequest& request, const Context& context) {
  const Shape& shape = in(request, 0).shape;
  const int axis = *normalize_axis(attrs(request).get_int("axis"), shape.rank());
  const int64_t n = shape[axis], inner = ops::extent(shape, axis + 1, shape.rank());
  const int64_t rows = shape.elements() / n;
  const DType dtype = in(request, 0).dtype;
  WorkspaceLayout workspace;
  // Rows that are strided in memory are gathered first, as narrow types are.
  const RowIo io =
      RowIo::reserve(inner == 1 ? dtype : DType::kBF16, n, context.threads(), &workspace);
  return simple_kernel(context, workspace.bytes(), [=](const Call& call, const Context& c) {
    const Simd& simd = *c.simd;
    c.pool->run_ranges(rows, rows_per_task(n), [&](int64_t begin, int64_t end, int worker) {
      for (int64_t row = begin; row < end; ++row) {
        if (inner == 1) {
          const float* x = io.read(call, simd, call.input(0), row, worker);
          float* y = io.begin(call, call.output(), row, worker);
          softmax_row(simd, x, y, n);
          io.commit(simd, y, call.output(), row);
          continue;
        }
        const int64_t base = row / inner * n * inner + row % inner;
        float* line = io.scratch(call, worker);
        for (int64_t i = 0; i < n; ++i)
          line[i] = static_cast<float>(load_element(dtype, call.input(0), base + i * inner));
        softmax_row(simd, line, line, n);
        for (int64_t i = 0; i < n; ++i)
          store_element(dtype, call.output(), base + i * inner, line[i]);
      }
    });
  });
}

bool accepts_softmax(const KernelRequest& request) {
  return compute_dtypes(request) && out(request).shape.elements() > 0;
}

bool f32_tables(const KernelRequest& request) {
  return is_compute_dtype(in(request, 0).dtype) && in(request, 1).dtype == DType::kF32 &&
         in(request, 2).dtype == DType::kF32 && out(request).shape.elements() > 0;
}

Prepared prepare_rope(const KernelRequest& request, const Context& context) {
  const Shape& shape = in(request, 0).shape;
  const int64_t width = shape[3], pairs = width / 2;
  const Shape rows{shape[0], shape[1], shape[2], 1};
  Shape cos_rows = in(request, 1).shape, sin_rows = in(request, 2).shape;
  cos_rows[3] = sin_rows[3] = 1;
  const Walk<2> walk(
      rows, {ops::broadcast_strides(cos_rows, rows), ops::broadcast_strides(sin_rows, rows)});
  const bool split = attrs(request).get_string("mode") == "split";
  const auto rope = split ? context.simd->rope_split : context.simd->rope_interleaved;
  WorkspaceLayout workspace;
  const RowIo io = RowIo::reserve(in(request, 0).dtype, width, context.threads(), &workspace);
  return simple_kernel(context, workspace.bytes(), [=](const Call& call, const Context& c) {
    const auto rotate = [&](int64_t begin, int64_t end, int worker) {
      walk.for_range(begin, end, [&](int64_t first, const auto& offsets, int64_t count) {
        for (int64_t r = 0; r < count; ++r) {
          const float* x = io.read(call, *c.simd, call.input(0), first + r, worker);
          float* y = io.begin(call, call.output(), first + r, worker);
          rope(x, call.input<float>(1) + (offsets[0] + r * walk.step(0)) * pairs,
               call.input<float>(2) + (offsets[1] + r * walk.step(1)) * pairs, y, pairs);
          io.commit(*c.simd, y, call.output(), first + r);
        }
      });
    };
    c.pool->run_ranges(walk.elements(), rows_per_task(width), rotate);
  });
}

bool accepts_norm(const KernelRequest& request) {
  return compute_dtypes(request) && out(request).shape.elements() > 0;
}

constexpr TableRow kTable[] = {
    {OpKind::kRmsNorm, "simd_rms_norm", Isa::kSse4, accepts_norm, prepare_norm},
    {OpKind::kLayerNorm, "simd_layer_norm", Isa::kSse4, accepts_norm, prepare_norm},
    {OpKind::kGroupNorm, "simd_group_norm", Isa::kSse4, accepts_norm, prepare_group_norm},
    {OpKind::kSoftmax, "simd_softmax", Isa::kSse4, accepts_softmax, prepare_softmax},
    {OpKind::kRope, "simd_rope", Isa::kSse4, f32_tables, prepare_rope},
};

}  // namespace

std::span<const TableRow> norm_table() { return kTable; }

}  // namespace zoetrope::cpu
