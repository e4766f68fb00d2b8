// reduce_sum, reduce_mean and reduce_max over any axes: rows are summed where the last axis is
// reduced, else whole rows are added up. The order is fixed by the shape.
#include <algorithm>
#include <cmath>
#include <limits>

#include "backends/cpu/kernel.h"
#include "backends/cpu/strided.h"

namespace zoetrope::cpu {
namespace {

constexpr int64_t kChunk = 512;

struct Reduction {
  OpKind op;
  DType dtype;
  Walk<1> kept, reduced;  // both with offsets into x
  double factor;

  const char* at(const void* data, int64_t element) const {
    return static_cast<const char*>(data) + element * dtype_size(dtype);
  }
  float start() const {
    return op == OpKind::kReduceMax ? -std::numeric_limits<float>::infinity() : 0.0f;
  }

  // One output: all rows of the reduced dimensions.
  float scalar(const Simd& simd, const void* x, int64_t base) const {
    double sum = start();
    float chunk[kChunk];
    const int64_t step = reduced.step(0);
    reduced.for_range(0, reduced.elements(), [&](int64_t, const auto& offsets, int64_t count) {
      for (int64_t i = 0; i < count; i += kChunk) {
        const int64_t n = std::min(kChunk, count - i);
        const float* row = chunk;
        const int64_t first = base + offsets[0] + i * step;
        if (step == 1 && dtype == DType::kF32) {
          row = static_cast<const float*>(x) + first;
        } else if (step == 1) {
          widen(simd, dtype, at(x, first), chunk, n);
        } else {
          for (int64_t j = 0; j < n; ++j)
            chunk[j] = static_cast<float>(load_element(dtype, x, first + j * step));
        }
        if (op == OpKind::kReduceMax) {
          const double most = simd.max(row, n);
          sum = std::isnan(most) || most > sum ? most : sum;
        } else {
          sum += simd.sum(row, n);
        }
      }
    });
    return static_cast<float>(sum * factor);
  }

  // `count` neighbouring outputs, whose inputs are neighbours too.
  void vector(const Simd& simd, const void* x, int64_t base, int64_t count, void* y,
              int64_t first) const {
    const auto fn =
        simd.binary[static_cast<int>(op == OpKind::kReduceMax ? Binary::kMax : Binary::kAdd)];
    float sum[kChunk], row[kChunk];
    for (int64_t i = 0; i < count; i += kChunk) {
      const int64_t n = std::min(kChunk, count - i);
      std::fill_n(sum, n, start());
      const int64_t step = reduced.step(0);
      reduced.for_range(0, reduced.elements(), [&](int64_t, const auto& offsets, int64_t repeat) {
        for (int64_t r = 0; r < repeat; ++r) {
          const char* from = at(x, base + i + offsets[0] + r * step);
          if (dtype == DType::kF32) {
            fn(sum, 1, reinterpret_cast<const float*>(from), 1, sum, n);
          } else {
            widen(simd, dtype, from, row, n);
            fn(sum, 1, row, 1, sum, n);
          }
        }
      });
      if (factor != 1) simd.scale(sum, static_cast<float>(factor), sum, n);
      narrow(simd, dtype, sum, static_cast<char*>(y) + (first + i) * dtype_size(dtype), n);
    }
  }
};

Prepared prepare_reduce(const KernelRequest& request, const Context& context) {
  const auto [kept, gone] = ops::reduction_walks(in(request, 0).shape, attrs(request));
  const double factor =
      request.node->op == OpKind::kReduceMean ? 1 / static_cast<double>(gone.elements()) : 1.0;
  const Reduction r{request.node->op, in(request, 0).dtype, kept, gone, factor};
  // Rows of outputs lie side by side in x where the last dimension that is not 1 is kept.
  const bool rows = r.kept.extents[-1] > 1 && r.kept.step(0) == 1;
  const int64_t outputs = r.kept.elements();
  const int64_t grain = rows ? kChunk : std::max<int64_t>(1, kGrain / r.reduced.elements());
  return simple_kernel(context, 0, [=](const Call& call, const Context& c) {
    c.pool->run_ranges(outputs, grain, [&](int64_t begin, int64_t end, int) {
      r.kept.for_range(begin, end, [&](int64_t first, const auto& offsets, int64_t n) {
        if (rows) return r.vector(*c.simd, call.input(0), offsets[0], n, call.output(), first);
        for (int64_t i = 0; i < n; ++i) {
          const float y = r.scalar(*c.simd, call.input(0), offsets[0] + i * r.kept.step(0));
          narrow(*c.simd, r.dtype, &y, call.output<char>() + (first + i) * dtype_size(r.dtype), 1);
        }
      });
    });
  });
}

bool accepts(const KernelRequest& request) {
  return compute_dtypes(request) && in(request, 0).shape.elements() > 0;
}

constexpr TableRow kTable[] = {
    {OpKind::kReduceSum, "simd_reduce_sum", Isa::kSse4, accepts, prepare_reduce},
    {OpKind::kReduceMean, "simd_reduce_mean", Isa::kSse4, accepts, prepare_reduce},
    {OpKind::kReduceMax, "simd_reduce_max", Isa::kSse4, accepts, prepare_reduce},
};

}  // namespace

std::span<const TableRow> reduce_table() { return kTable; }

}  // namespace zoetrope::cpu
