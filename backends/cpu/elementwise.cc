// Elementwise ops on f32, bf16 and f16: rows are computed in f32, 512 values at a time where the
// storage is narrower.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "backends/cpu/kernel.h"
#include "backends/cpu/strided.h"

namespace zoetrope::cpu {
namespace {

constexpr int64_t kChunk = 512;

const char* at(const void* data, DType dtype, int64_t element) {
  return static_cast<const char*>(data) + element * dtype_size(dtype);
}
char* at(void* data, DType dtype, int64_t element) {
  return static_cast<char*>(data) + element * dtype_size(dtype);
}

Prepared prepare_unary(const KernelRequest& request, const Context& context) {
  const DType dtype = in(request, 0).dtype;
  const int64_t n = out(request).shape.elements();
  const auto fn = context.simd->unary[static_cast<int>(ops::unary_of(request.node->op))];
  return simple_kernel(context, 0, [=](const Call& call, const Context& c) {
    c.pool->run_ranges(n, kGrain, [&](int64_t begin, int64_t end, int) {
      if (dtype == DType::kF32)
        return fn(call.input<float>(0) + begin, call.output<float>() + begin, end - begin);
      float chunk[kChunk];
      for (int64_t i = begin; i < end; i += kChunk) {
        const int64_t count = std::min(kChunk, end - i);
        widen(*c.simd, dtype, at(call.input(0), dtype, i), chunk, count);
        fn(chunk, chunk, count);
        narrow(*c.simd, dtype, chunk, at(call.output(), dtype, i), count);
      }
    });
  });
}

// One run of a row of a binary op. Steps are 0 or 1.
struct BinaryRow {
  const Simd& simd;
  DType dtype;
  void (*fn)(const float* a, int a_step, const float* b, int b_step, float* y, int64_t n);
  int a_step, b_step;

  void operator()(const void* a, const void* b, void* y, int64_t n) const {
    if (dtype == DType::kF32)
      return fn(static_cast<const float*>(a), a_step, static_cast<const float*>(b), b_step,
                static_cast<float*>(y), n);
    float ca[kChunk], cb[kChunk];
    for (int64_t i = 0; i < n; i += kChunk) {
      const int64_t count = std::min(kChunk, n - i);
      widen(simd, dtype, at(a, dtype, i * a_step), ca, a_step != 0 ? count : 1);
      widen(simd, dtype, at(b, dtype, i * b_step), cb, b_step != 0 ? count : 1);
      fn(ca, a_step, cb, b_step, ca, count);
      narrow(simd, dtype, ca, at(y, dtype, i), count);
    }
  }
};

void pow_row(const float* a, int a_step, const float* b, int b_step, float* y, int64_t n) {
  // The last may overlap a or b when both are single values, so they are read first.
  const float a0 = a[0], b0 = b[0];
  for (int64_t i = 0; i < n; ++i) y[i] = std::pow(a_step ? a[i] : a0, b_step ? b[i] : b0);
}

Prepared prepare_arithmetic(const KernelRequest& request, const Context& context) {
  const Shape& shape = out(request).shape;
  const Walk<2> walk(shape, {ops::broadcast_strides(in(request, 0).shape, shape),
                             ops::broadcast_strides(in(request, 1).shape, shape)});
  const auto fn = context.simd->binary[static_cast<int>(ops::binary_of(request.node->op))];
  const BinaryRow row{*context.simd, in(request, 0).dtype, fn != nullptr ? fn : pow_row,
                      static_cast<int>(walk.step(0)), static_cast<int>(walk.step(1))};
  return simple_kernel(context, 0, [=](const Call& call, const Context& c) {
    c.pool->run_ranges(walk.elements(), kGrain, [&](int64_t begin, int64_t end, int) {
      walk.for_range(begin, end, [&](int64_t i, const auto& offsets, int64_t count) {
        row(at(call.input(0), row.dtype, offsets[0]), at(call.input(1), row.dtype, offsets[1]),
            at(call.output(), row.dtype, i), count);
      });
    });
  });
}

Prepared prepare_select(const KernelRequest& request, const Context& context) {
  const Shape& shape = out(request).shape;
  const int64_t size = dtype_size(out(request).dtype);
  const Walk<3> walk(shape, {ops::broadcast_strides(in(request, 0).shape, shape),
                             ops::broadcast_strides(in(request, 1).shape, shape),
                             ops::broadcast_strides(in(request, 2).shape, shape)});
  const auto choose = [=]<typename T>(const Call& call, int64_t begin, int64_t end, T*) {
    const int64_t sc = walk.step(0), sa = walk.step(1), sb = walk.step(2);
    walk.for_range(begin, end, [&](int64_t i, const auto& offsets, int64_t count) {
      const uint8_t* condition = call.input<uint8_t>(0) + offsets[0];
      const T *a = call.input<T>(1) + offsets[1], *b = call.input<T>(2) + offsets[2];
      T* y = call.output<T>() + i;
      for (int64_t j = 0; j < count; ++j) y[j] = condition[j * sc] ? a[j * sa] : b[j * sb];
    });
  };
  return simple_kernel(context, 0, [=](const Call& call, const Context& c) {
    c.pool->run_ranges(walk.elements(), kGrain, [&](int64_t begin, int64_t end, int) {
      switch (size) {
        case 1: return choose(call, begin, end, static_cast<uint8_t*>(nullptr));
        case 2: return choose(call, begin, end, static_cast<uint16_t*>(nullptr));
        case 4: return choose(call, begin, end, static_cast<uint32_t*>(nullptr));
        default: return choose(call, begin, end, static_cast<uint64_t*>(nullptr));
      }
    });
  });
}

Prepared prepare_compare(const KernelRequest& request, const Context& context) {
  const Shape& shape = out(request).shape;
  const DType dtype = in(request, 0).dtype;
  const bool less = request.node->op == OpKind::kLess;
  const Walk<2> walk(shape, {ops::broadcast_strides(in(request, 0).shape, shape),
                             ops::broadcast_strides(in(request, 1).shape, shape)});
  return simple_kernel(context, 0, [=](const Call& call, const Context& c) {
    const int64_t sa = walk.step(0), sb = walk.step(1);
    c.pool->run_ranges(walk.elements(), kGrain, [&](int64_t begin, int64_t end, int) {
      walk.for_range(begin, end, [&](int64_t i, const auto& offsets, int64_t count) {
        auto* y = call.output<uint8_t>() + i;
        for (int64_t j = 0; j < count; ++j) {
          const double a = load_element(dtype, call.input(0), offsets[0] + j * sa);
          const double b = load_element(dtype, call.input(1), offsets[1] + j * sb);
          y[j] = less ? a < b : a == b;
        }
      });
    });
  });
}

bool compares(const KernelRequest& request) { return out(request).dtype == DType::kBool; }

bool accepts_binary(const KernelRequest& request) {
  return compares(request) || compute_dtypes(request);
}

Prepared prepare_binary(const KernelRequest& request, const Context& context) {
  return compares(request) ? prepare_compare(request, context)
                           : prepare_arithmetic(request, context);
}

bool same_size(const KernelRequest& request) { return in(request, 0).dtype == out(request).dtype; }

Prepared prepare_copy(const KernelRequest& request, const Context& context) {
  const int64_t bytes = out(request).bytes();
  return simple_kernel(context, 0, [=](const Call& call, const Context& c) {
    c.pool->run_ranges(bytes, kGrain * 8, [&](int64_t begin, int64_t end, int) {
      std::memcpy(call.output<char>() + begin, call.input<char>(0) + begin, idx(end - begin));
    });
  });
}

Prepared prepare_cast(const KernelRequest& request, const Context& context) {
  const DType from = in(request, 0).dtype, to = out(request).dtype;
  const int64_t n = out(request).shape.elements();
  return simple_kernel(context, 0, [=](const Call& call, const Context& c) {
    c.pool->run_ranges(n, kGrain, [&](int64_t begin, int64_t end, int) {
      float chunk[kChunk];
      for (int64_t i = begin; i < end; i += kChunk) {
        const int64_t count = std::min(kChunk, end - i);
        widen(*c.simd, from, at(call.input(0), from, i), chunk, count);
        narrow(*c.simd, to, chunk, at(call.output(), to, i), count);
      }
    });
  });
}

Prepared prepare_cast_any(const KernelRequest& request, const Context& context) {
  const DType from = in(request, 0).dtype, to = out(request).dtype;
  const int64_t n = out(request).shape.elements();
  return simple_kernel(context, 0, [=](const Call& call, const Context& c) {
    c.pool->run_ranges(n, kGrain, [&](int64_t begin, int64_t end, int) {
      for (int64_t i = begin; i < end; ++i)
        store_element(to, call.output(), i, load_element(from, call.input(0), i));
    });
  });
}

Prepared prepare_fill(const KernelRequest& request, const Context& context) {
  const DType dtype = out(request).dtype;
  const int64_t n = out(request).shape.elements();
  const double value = attrs(request).get_float("value");
  return simple_kernel(context, 0, [=](const Call& call, const Context&) {
    for (int64_t i = 0; i < n; ++i) store_element(dtype, call.output(), i, value);
  });
}

Prepared prepare_iota(const KernelRequest& request, const Context& context) {
  const DType dtype = out(request).dtype;
  const int64_t n = out(request).shape.elements();
  const double start = attrs(request).get_float("start"), step = attrs(request).get_float("step");
  return simple_kernel(context, 0, [=](const Call& call, const Context&) {
    for (int64_t i = 0; i < n; ++i)
      store_element(dtype, call.output(), i, start + static_cast<double>(i) * step);
  });
}

constexpr TableRow kTable[] = {
#define ZT_OP(kind, name, def)
#define ZT_UNARY(kind, name, def) \
  {OpKind::kind, "simd_" name, Isa::kSse4, compute_dtypes, prepare_unary},
#define ZT_BINARY(kind, name, def) \
  {OpKind::kind, "elementwise_" name, Isa::kSse4, accepts_binary, prepare_binary},
#include "graph/ops/op_list.inc"
#undef ZT_OP
    {OpKind::kSelect, "scalar_select", Isa::kSse4, nullptr, prepare_select},
    {OpKind::kCast, "copy", Isa::kSse4, same_size, prepare_copy},
    {OpKind::kCast, "simd_cast", Isa::kSse4, compute_dtypes, prepare_cast},
    {OpKind::kCast, "scalar_cast", Isa::kSse4, nullptr, prepare_cast_any},
    {OpKind::kFill, "scalar_fill", Isa::kSse4, nullptr, prepare_fill},
    {OpKind::kIota, "scalar_iota", Isa::kSse4, nullptr, prepare_iota},
};

}  // namespace

std::span<const TableRow> elementwise_table() { return kTable; }

}  // namespace zoetrope::cpu
