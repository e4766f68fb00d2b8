#include <sys/mman.h>

#include <algorithm>
#include <cstring>

#include "backends/cpu/gemm/gemm.h"

namespace zoetrope::cpu {
namespace {

constexpr int64_t kChunk = 256;  // values converted at a time, on the stack

// y[i] = x[i·step] as f32.
void load_strided(const Simd& simd, DType dtype, const char* x, int64_t step, float* y, int64_t n) {
  if (step == 1 && is_compute_dtype(dtype)) return widen(simd, dtype, x, y, n);
  switch (dtype) {
    case DType::kF32:
      for (int64_t i = 0; i < n; ++i) y[i] = reinterpret_cast<const float*>(x)[i * step];
      return;
    case DType::kBF16:
      for (int64_t i = 0; i < n; ++i)
        y[i] = bf16_to_f32(reinterpret_cast<const uint16_t*>(x)[i * step]);
      return;
    default:
      for (int64_t i = 0; i < n; ++i) y[i] = static_cast<float>(load_element(dtype, x, i * step));
  }
}

// Rows of the panel are contiguous in the source.
void pack_rows(const Simd& simd, const PanelLayout& layout, const StridedB& b, const char* source,
               int64_t columns, int64_t width, char* to) {
  const int64_t size = dtype_size(b.dtype);
  float row[2][PanelLayout::kColumns] = {};
  if (!layout.bf16) {
    for (int64_t k = 0; k < layout.k; ++k) {
      if (k < b.k_valid) {
        load_strided(simd, b.dtype, source + k * b.k_step * size, b.n_step, row[0], columns);
      } else {
        std::fill_n(row[0], width, 0.0f);
      }
      std::memcpy(to + k * width * 4, row[0], static_cast<size_t>(width) * 4);
    }
    return;
  }
  uint16_t narrow_row[2][PanelLayout::kColumns];
  auto* pairs = reinterpret_cast<uint16_t*>(to);
  for (int64_t k = 0; k < layout.k; k += 2) {
    for (int64_t r = 0; r < 2; ++r) {
      if (k + r < b.k_valid) {
        load_strided(simd, b.dtype, source + (k + r) * b.k_step * size, b.n_step, row[r], columns);
      } else {
        std::fill_n(row[r], width, 0.0f);
      }
      simd.f32_to_bf16(row[r], narrow_row[r], width);
    }
    for (int64_t n = 0; n < width; ++n) {
      pairs[(k * width) + 2 * n] = narrow_row[0][n];
      pairs[(k * width) + 2 * n + 1] = narrow_row[1][n];
    }
  }
}

// Columns of the panel are contiguous in the source (the layout of torch.nn.Linear's weight, and of
// keys). Both formats are a transpose of 32-bit words: one f32, or two neighbouring bf16.
void pack_columns(const Simd& simd, const PanelLayout& layout, const StridedB& b,
                  const char* source, int64_t columns, int64_t width, char* to) {
  constexpr int64_t kRows = 16;  // columns of the panel at a time: one cache line of words
  const int64_t size = dtype_size(b.dtype);
  float chunk[kChunk];
  uint32_t words[kRows][kChunk];
  for (int64_t n0 = 0; n0 < width; n0 += kRows) {
    const int64_t rows = std::clamp<int64_t>(columns - n0, 0, kRows);
    for (int64_t k0 = 0; k0 < layout.k; k0 += kChunk) {
      const int64_t count = std::min(kChunk, layout.k - k0);
      const int64_t per_row = layout.bf16 ? count / 2 : count;
      for (int64_t r = 0; r < kRows; ++r) {
        const char* from = source + ((n0 + r) * b.n_step + k0 * b.k_step) * size;
        if (r >= rows) {
          std::memset(words[r], 0, sizeof words[r]);
        } else if (!layout.bf16) {
          load_strided(simd, b.dtype, from, b.k_step, reinterpret_cast<float*>(words[r]), count);
        } else if (b.dtype == DType::kBF16 && b.k_step == 1) {
          std::memcpy(words[r], from, static_cast<size_t>(count) * 2);
        } else {
          load_strided(simd, b.dtype, from, b.k_step, chunk, count);
          simd.f32_to_bf16(chunk, reinterpret_cast<uint16_t*>(words[r]), count);
        }
      }
      auto* out = reinterpret_cast<uint32_t*>(to) + (layout.bf16 ? k0 / 2 : k0) * width + n0;
      for (int64_t w = 0; w < per_row; ++w)
        for (int64_t r = 0; r < kRows; ++r) out[w * width + r] = words[r][w];
    }
  }
}

}  // namespace

void pack_panel(const Simd& simd, const PanelLayout& layout, const StridedB& b, int64_t panel,
                char* packed) {
  const int64_t columns = layout.columns(panel), width = layout.width(panel);
  for (int64_t tap = 0; tap < layout.taps; ++tap) {
    const char* source =
        static_cast<const char*>(b.data) +
        (tap * b.tap_step + panel * PanelLayout::kColumns * b.n_step) * dtype_size(b.dtype);
    char* to = packed + layout.panel_offset(panel) + tap * layout.tap_bytes(panel);
    if (b.n_step == 1) {
      pack_rows(simd, layout, b, source, columns, width, to);
    } else {
      pack_columns(simd, layout, b, source, columns, width, to);
    }
  }
}

void pack_panels(const Context& context, const PanelLayout& layout, const StridedB& b,
                 char* packed) {
  context.pool->run(layout.panels(), [&](int64_t panel, int) {
    pack_panel(*context.simd, layout, b, panel, packed);
  });
}

bool computes_in_bf16(const Context& context, DType a, int64_t k) {
  return a == DType::kBF16 && context.isa >= Isa::kAvx512Bf16 && k % 2 == 0;
}

AlignedBytes::AlignedBytes(int64_t bytes) {
  constexpr size_t kHugePage = size_t{2} << 20;
  const auto size = static_cast<size_t>(bytes > 0 ? bytes : 1);
  const size_t alignment = size >= 2 * kHugePage ? kHugePage : 64;
  auto* data = static_cast<char*>(::operator new (size, std::align_val_t{alignment}));
  data_ = {data, Free{alignment}};
  if (alignment == kHugePage) (void)madvise(data, size / kHugePage * kHugePage, MADV_HUGEPAGE);
}

void activate(const Simd& simd, Activation activation, const float* x, float* y, int64_t n) {
  if (activation != Activation::kNone)
    simd.unary[static_cast<int>(ops::unary_of(activation))](x, y, n);
  else if (x != y)
    std::memcpy(y, x, static_cast<size_t>(n) * sizeof(float));
}

}  // namespace zoetrope::cpu
