// gated_residual, norm_rope and glu: one pass over memory each.
#include <algorithm>

#include "backends/cpu/gemm/gemm.h"
#include "backends/cpu/kernel.h"
#include "backends/cpu/rows.h"
#include "backends/cpu/strided.h"

namespace zoetrope::cpu {
namespace {

Prepared prepare_gated_residual(const KernelRequest& request, const Context& context) {
  const Shape& shape = in(request, 0).shape;
  const DType dtype = in(request, 0).dtype;
  const Walk<1> walk(shape, {ops::broadcast_strides(in(request, 2).shape, shape)});
  const auto step = static_cast<int>(walk.step(0));
  WorkspaceLayout workspace;
  const VectorOperand gate = VectorOperand::reserve(request, 2, &workspace);
  return simple_kernel(context, workspace.bytes(), [=](const Call& call, const Context& c) {
    const Simd& simd = *c.simd;
    const float* g = gate.load(call, simd);
    const auto run = [&](int64_t first, const float* row_gate, int64_t count) {
      if (dtype == DType::kF32)
        return simd.multiply_add(call.input<float>(0) + first, row_gate, step,
                                 call.input<float>(1) + first, call.output<float>() + first, count);
      constexpr int64_t kChunk = 512;
      float x[kChunk], y[kChunk];
      const int64_t size = dtype_size(dtype);
      for (int64_t i = 0; i < count; i += kChunk) {
        const int64_t n = std::min(kChunk, count - i);
        widen(simd, dtype, call.input<char>(0) + (first + i) * size, x, n);
        widen(simd, dtype, call.input<char>(1) + (first + i) * size, y, n);
        simd.multiply_add(x, row_gate + i * step, step, y, x, n);
        narrow(simd, dtype, x, call.output<char>() + (first + i) * size, n);
      }
    };
    c.pool->run_ranges(walk.elements(), kGrain, [&](int64_t begin, int64_t end, int) {
      walk.for_range(begin, end, [&](int64_t first, const auto& offsets, int64_t count) {
        run(first, g + offsets[0], count);
      });
    });
  });
}

bool accepts_norm_rope(const KernelRequest& request) {
  return compute_dtypes(request) && in(request, 1).dtype == DType::kF32 &&
         in(request, 2).dtype == DType::kF32 && out(request).shape.elements() > 0;
}

Prepared prepare_norm_rope(const KernelRequest& request, const Context& context) {
  const Shape& shape = in(request, 0).shape;
  const Shape cos_shape = in(request, 1).shape, sin_shape = in(request, 2).shape;
  const int64_t tokens = shape[1], heads = shape[2], dim = shape[3], width = heads * dim;
  const int64_t rows = shape[0] * tokens;
  const double epsilon = attrs(request).get_float("epsilon");
  const bool full = attrs(request).get_bool("full_width");
  const auto rope = attrs(request).get_string("mode") == "split" ? context.simd->rope_split
                                                                 : context.simd->rope_interleaved;
  WorkspaceLayout workspace;
  const VectorOperand weight = VectorOperand::reserve(request, 3, &workspace);
  const RowIo io = RowIo::reserve(in(request, 0).dtype, width, context.threads(), &workspace);
  // First element of the table for (sample, token, head).
  const auto table_at = [=](const Shape& table, int64_t row, int64_t head) {
    const int64_t sample = table[0] == 1 ? 0 : row / tokens, token = row % tokens;
    return ((sample * tokens + token) * table[2] + (table[2] == 1 ? 0 : head)) * (dim / 2);
  };
  return simple_kernel(context, workspace.bytes(), [=](const Call& call, const Context& c) {
    const Simd& simd = *c.simd;
    const float *w = weight.load(call, simd), *cos = call.input<float>(1),
                *sin = call.input<float>(2);
    c.pool->run_ranges(rows, rows_per_task(width), [&](int64_t begin, int64_t end, int worker) {
      for (int64_t r = begin; r < end; ++r) {
        const float* x = io.read(call, simd, call.input(0), r, worker);
        float* y = io.begin(call, call.output(), r, worker);
        RowStatistics stats{};
        if (full) stats = rms_statistics(simd, x, width, epsilon);
        for (int64_t h = 0; h < heads; ++h) {
          const int64_t at = h * dim;
          if (!full) stats = rms_statistics(simd, x + at, dim, epsilon);
          const float* head_weight = w == nullptr ? nullptr : full ? w + at : w;
          simd.normalize(x + at, stats, head_weight, nullptr, y + at, dim);
          rope(y + at, cos + table_at(cos_shape, r, h), sin + table_at(sin_shape, r, h), y + at,
               dim / 2);
        }
        io.commit(simd, y, call.output(), r);
      }
    });
  });
}

Prepared prepare_glu(const KernelRequest& request, const Context& context) {
  const DType dtype = in(request, 0).dtype;
  const bool halves = !has(request, 1);
  const int64_t width = out(request).shape.rank() > 0 ? out(request).shape[-1] : 1;
  const int64_t rows = out(request).shape.elements() / width;
  const bool second = attrs(request).get_bool("gate_second");
  const Activation activation = parse_activation(attrs(request).get_string("activation"));
  WorkspaceLayout workspace;
  const int64_t line = align_up(width * 4);
  const int64_t scratch = workspace.add(2 * line * context.threads());
  return simple_kernel(context, workspace.bytes(), [=](const Call& call, const Context& c) {
    const Simd& simd = *c.simd;
    const auto multiply = simd.binary[static_cast<int>(Binary::kMul)];
    const int64_t size = dtype_size(dtype);
    c.pool->run_ranges(rows, rows_per_task(width), [&](int64_t begin, int64_t end, int worker) {
      auto* act = call.workspace<float>(scratch + 2 * worker * line);
      auto* other = call.workspace<float>(scratch + (2 * worker + 1) * line);
      for (int64_t r = begin; r < end; ++r) {
        const char* a = call.input<char>(0) + r * width * size * (halves ? 2 : 1);
        const char* b = halves ? a + width * size : call.input<char>(1) + r * width * size;
        if (halves && second) std::swap(a, b);
        char* y = call.output<char>() + r * width * size;
        if (dtype == DType::kF32) {
          activate(simd, activation, reinterpret_cast<const float*>(a), act, width);
          multiply(act, 1, reinterpret_cast<const float*>(b), 1, reinterpret_cast<float*>(y),
                   width);
          continue;
        }
        widen(simd, dtype, a, act, width);
        widen(simd, dtype, b, other, width);
        activate(simd, activation, act, act, width);
        multiply(act, 1, other, 1, act, width);
        narrow(simd, dtype, act, y, width);
      }
    });
  });
}

bool accepts(const KernelRequest& request) {
  return compute_dtypes(request) && out(request).shape.elements() > 0;
}

constexpr TableRow kTable[] = {
    {OpKind::kGatedResidual, "simd_gated_residual", Isa::kSse4, accepts, prepare_gated_residual},
    {OpKind::kNormRope, "simd_norm_rope", Isa::kSse4, accepts_norm_rope, prepare_norm_rope},
    {OpKind::kGlu, "simd_glu", Isa::kSse4, accepts, prepare_glu},
};

}  // namespace

std::span<const TableRow> fused_table() { return kTable; }

}  // namespace zoetrope::cpu
