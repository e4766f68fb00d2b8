// 8-bit numbers: quantize_rows and quantized_matmul, in plain loops that the compiler vectorises.
#include <array>
#include <cmath>

#include "backends/cpu/kernel.h"
#include "backends/cpu/rows.h"

namespace zoetrope::cpu {
namespace {

// f8e4m3 as f32, exactly.
const std::array<float, 256>& widened_f8() {
  static const std::array<float, 256> table = [] {
    std::array<float, 256> t{};
    for (size_t i = 0; i < t.size(); ++i) {
      const auto byte = static_cast<uint8_t>(i);
      t[i] = static_cast<float>(load_element(DType::kF8E4M3, &byte, 0));
    }
    return t;
  }();
  return table;
}

// Round to nearest even; saturates at 448. Not for NaN.
uint8_t to_f8(float x) {
  const uint32_t whole = std::bit_cast<uint32_t>(x), sign = whole >> 24 & 0x80u;
  uint32_t bits = whole & 0x7fffffffu;
  if (bits < 0x3c800000u)  // below 2^-6: multiples of 2^-9
    return static_cast<uint8_t>(
        sign | static_cast<uint32_t>(std::nearbyint(std::bit_cast<float>(bits) * 512.0f)));
  bits += 0x7ffffu + (bits >> 20 & 1u);
  return static_cast<uint8_t>(sign | std::min((bits - 0x3c000000u) >> 20, 0x7eu));
}

// The definition in graph/ops/quantize_rows.cc, operation by operation.
void quantize_row(const float* x, int64_t n, bool integer, uint8_t* q, float* scale) {
  const float largest = integer ? 127.0f : 448.0f;
  float most = 0;
  for (int64_t i = 0; i < n; ++i) most = std::max(most, std::fabs(x[i]));
  const bool nothing = most < 0x1p-100f;
  *scale = nothing ? 0 : most / largest;
  const float factor = nothing ? 0 : largest / most;
  if (!integer) {
    for (int64_t i = 0; i < n; ++i) q[i] = to_f8(x[i] * factor);
    return;
  }
  // Adding 1.5·2^23 rounds to nearest even; the magnitude is below 128.
  constexpr float kRound = 0x1.8p23f;
  for (int64_t i = 0; i < n; ++i) {
    const float y = std::min(std::max(x[i] * factor, -127.0f), 127.0f) + kRound;
    q[i] = static_cast<uint8_t>(std::bit_cast<uint32_t>(y));
  }
}

Prepared prepare_quantize_rows(const KernelRequest& request, const Context& context) {
  const int64_t width = in(request, 0).shape[-1], rows = request.outputs[1]->shape.elements();
  const bool integer = out(request).dtype == DType::kI8;
  WorkspaceLayout workspace;
  const RowIo io = RowIo::reserve(in(request, 0).dtype, width, context.threads(), &workspace);
  return simple_kernel(context, workspace.bytes(), [=](const Call& call, const Context& c) {
    c.pool->run_ranges(rows, rows_per_task(width + 1), [&](int64_t begin, int64_t end, int worker) {
      for (int64_t row = begin; row < end; ++row) {
        const float* x = width > 0 ? io.read(call, *c.simd, call.input(0), row, worker) : nullptr;
        quantize_row(x, width, integer, call.output<uint8_t>(0) + row * width,
                     call.output<float>(1) + row);
      }
    });
  });
}

bool accepts_quantize_rows(const KernelRequest& request) {
  return is_compute_dtype(in(request, 0).dtype);
}

constexpr int64_t kRowsAtOnce = 4, kColumnsAtOnce = 64;
using Sums = std::array<float, kRowsAtOnce>;

// One row of b with four of a, `pitch` apart.
[[gnu::always_inline]] inline Sums dots(const int8_t* a, int64_t pitch, const int8_t* b,
                                        int64_t n) {
  int32_t s0 = 0, s1 = 0, s2 = 0, s3 = 0;
  for (int64_t k = 0; k < n; ++k) {
    const int32_t v = b[k];
    s0 += a[k] * v, s1 += a[pitch + k] * v;
    s2 += a[2 * pitch + k] * v, s3 += a[3 * pitch + k] * v;
  }
  return {static_cast<float>(s0), static_cast<float>(s1), static_cast<float>(s2),
          static_cast<float>(s3)};
}

[[gnu::always_inline]] inline Sums dots(const float* a, int64_t pitch, const float* b, int64_t n) {
  constexpr int64_t kLanes = 8;
  float part[kRowsAtOnce][kLanes] = {};
  int64_t k = 0;
  for (; k + kLanes <= n; k += kLanes)
    for (int64_t r = 0; r < kRowsAtOnce; ++r)
      for (int64_t l = 0; l < kLanes; ++l) part[r][l] += a[r * pitch + k + l] * b[k + l];
  Sums sums{};
  for (int64_t r = 0; r < kRowsAtOnce; ++r) {
    for (int64_t i = k; i < n; ++i) part[r][0] += a[r * pitch + i] * b[i];
    for (int64_t l = 0; l < kLanes; ++l) sums[idx(r)] += part[r][l];
  }
  return sums;
}

template <typename T>
[[gnu::target("avx2")]] Sums dots_avx2(const T* a, int64_t pitch, const T* b, int64_t n) {
  return dots(a, pitch, b, n);
}
template <typename T>
Sums dots_sse4(const T* a, int64_t pitch, const T* b, int64_t n) {
  return dots(a, pitch, b, n);
}

// c [m, n] = a [m, k] × b [n, k] · scales + bias. T is int8_t, or float for widened f8e4m3.
template <typename T>
class QuantizedMatmul : public CpuKernel {
 public:
  enum Input : size_t { kA, kAScale, kB, kBScale, kBias };

  QuantizedMatmul(const Context& context, const KernelRequest& request)
      : CpuKernel(context),
        m_(in(request, kAScale).shape.elements()),
        n_(in(request, kBScale).shape.elements()),
        k_(in(request, kA).shape[-1]),
        out_(out(request).dtype),
        dots_(context.isa >= Isa::kAvx2 ? dots_avx2<T> : dots_sse4<T>) {
    WorkspaceLayout workspace;
    bias_ = VectorOperand::reserve(request, kBias, &workspace);
    // Four rows of a (the last may lack some), and for f8 a row of b.
    scratch_bytes_ = align_up((kRowsAtOnce + (kWidens ? 1 : 0)) * k_ * int64_t{sizeof(T)});
    scratch_ = workspace.add(scratch_bytes_ * context.threads());
    tiles_ = workspace.add(kTileBytes * context.threads());
    info.workspace_bytes = workspace.bytes();
    info.name = str("quantized_matmul_", kWidens ? "f8e4m3_" : "i8_",
                    context.isa >= Isa::kAvx2 ? "avx2" : "sse4");
  }

  Status run(const Call& call) const override {
    const float* bias = bias_.load(call, simd());
    const int64_t across = (n_ + kColumnsAtOnce - 1) / kColumnsAtOnce;
    pool().run((m_ + kRowsAtOnce - 1) / kRowsAtOnce * across, [&](int64_t task, int worker) {
      run_tile(call, task / across * kRowsAtOnce, task % across * kColumnsAtOnce, bias, worker);
    });
    return Status();
  }

 private:
  static constexpr bool kWidens = sizeof(T) == sizeof(float);
  static constexpr int64_t kTileBytes = kRowsAtOnce * kColumnsAtOnce * 4;

  // `count` elements from element `at` of input i.
  void read(const Call& call, size_t i, int64_t at, int64_t count, T* to) const {
    const auto* from = call.input<uint8_t>(i) + at;
    if constexpr (kWidens) {
      const std::array<float, 256>& table = widened_f8();
      for (int64_t e = 0; e < count; ++e) to[e] = table[from[e]];
    } else {
      std::memcpy(to, from, idx(count));
    }
  }

  void run_tile(const Call& call, int64_t row, int64_t column, const float* bias,
                int worker) const {
    const int64_t rows = std::min(kRowsAtOnce, m_ - row);
    const int64_t columns = std::min(kColumnsAtOnce, n_ - column);
    T* a = call.workspace<T>(scratch_ + worker * scratch_bytes_);
    auto* tile = call.workspace<float>(tiles_ + worker * kTileBytes);
    if (k_ > 0) read(call, kA, row * k_, rows * k_, a);
    std::fill(a + rows * k_, a + kRowsAtOnce * k_, T{});
    const float *a_scale = call.input<float>(kAScale), *b_scale = call.input<float>(kBScale);
    for (int64_t j = 0; j < columns; ++j) {
      const T* b = nullptr;
      if constexpr (kWidens) {
        T* widened = a + kRowsAtOnce * k_;
        if (k_ > 0) read(call, kB, (column + j) * k_, k_, widened);
        b = widened;
      } else if (k_ > 0) {
        b = call.input<int8_t>(kB) + (column + j) * k_;
      }
      const Sums sums = dots_(a, k_, b, k_);
      for (int64_t r = 0; r < rows; ++r)
        tile[r * kColumnsAtOnce + j] =
            sums[idx(r)] * a_scale[row + r] * b_scale[column + j] + (bias ? bias[column + j] : 0);
    }
    for (int64_t r = 0; r < rows; ++r) {
      const float* from = tile + r * kColumnsAtOnce;
      char* to = call.output<char>() + ((row + r) * n_ + column) * dtype_size(out_);
      if (out_ == DType::kF32)
        std::memcpy(to, from, idx(columns * 4));
      else
        narrow(simd(), out_, from, to, columns);
    }
  }

  const int64_t m_, n_, k_;
  const DType out_;
  Sums (*const dots_)(const T*, int64_t, const T*, int64_t);
  VectorOperand bias_;
  int64_t scratch_bytes_ = 0, scratch_ = 0, tiles_ = 0;
};

Prepared prepare_quantized_matmul(const KernelRequest& request, const Context& context) {
  if (in(request, 0).dtype == DType::kI8)
    return std::unique_ptr<CpuKernel>(new QuantizedMatmul<int8_t>(context, request));
  return std::unique_ptr<CpuKernel>(new QuantizedMatmul<float>(context, request));
}

bool accepts_quantized_matmul(const KernelRequest& request) {
  constexpr size_t kBias = 4;
  return !has(request, kBias) || is_compute_dtype(in(request, kBias).dtype);
}

constexpr TableRow kTable[] = {
    {OpKind::kQuantizeRows, "quantize_rows", Isa::kSse4, accepts_quantize_rows,
     prepare_quantize_rows},
    {OpKind::kQuantizedMatmul, "quantized_matmul", Isa::kSse4, accepts_quantized_matmul,
     prepare_quantized_matmul},
};

}  // namespace

std::span<const TableRow> quantized_table() { return kTable; }

}  // namespace zoetrope::cpu
