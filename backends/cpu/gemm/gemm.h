// The one matrix kernel under matmul, convolution and attention: a small block product over a batch
// of (A, B) pairs. oneDNN's brgemm generates it for the shape and the processor; where oneDNN has
// none, the vector loop of simd/gemm.cc takes its place. Threads are ours: a block is computed by
// one thread and always in the same order, so results do not depend on how many there are.
#pragma once

#include <compare>
#include <cstdint>
#include <memory>
#include <new>

#include "backends/cpu/kernel.h"

namespace zoetrope::cpu {

// Caps oneDNN's own choice of instructions; only the first device of a process can.
void limit_onednn(Isa isa);

// C[m, n] f32 = (accumulate ? C : 0) + Σ_b A_b[m, k] × B_b[k, n]. Leading dimensions in elements.
// A is row major; B is [k, ldb] for f32 and [k/2, ldb, 2] for bf16 (k even). With i8, A is u8, B i8
// [k/4, ldb, 4] (k a multiple of 4) and C i32.
struct BlockShape {
  int64_t m = 0, n = 0, k = 0, batch = 1;
  int64_t lda = 0, ldb = 0, ldc = 0;
  bool bf16 = false;
  bool i8 = false;
  bool accumulate = false;

  auto operator<=>(const BlockShape&) const = default;
};

class BlockKernel {
 public:
  // Generates code, or finds what was generated for the same shape before.
  static Result<std::shared_ptr<const BlockKernel>> get(const Context& context,
                                                        const BlockShape& shape);
  virtual ~BlockKernel() = default;
  // `offsets`: for each of the batch a pair of byte offsets, from a and from b.
  virtual void run(const void* a, const void* b, const int64_t* offsets, void* c) const = 0;
};

// Whether there are block kernels of i8: oneDNN has them where the processor adds products of
// bytes.
bool has_i8_blocks(const Context& context);

// How B is kept for block kernels: panels of 64 columns (the last narrower, a multiple of 16), each
// [taps][k][width], so that a panel is read from end to end.
struct PanelLayout {
  static constexpr int64_t kColumns = 64;

  int64_t n = 0, k = 0, taps = 1;
  bool bf16 = false;

  int64_t element() const { return bf16 ? 2 : 4; }
  int64_t panels() const { return (n + kColumns - 1) / kColumns; }
  int64_t columns(int64_t panel) const {  // that hold data
    return n - panel * kColumns < kColumns ? n - panel * kColumns : kColumns;
  }
  int64_t width(int64_t panel) const { return (columns(panel) + 15) / 16 * 16; }
  int64_t tap_bytes(int64_t panel) const { return k * width(panel) * element(); }
  int64_t panel_offset(int64_t panel) const { return panel * kColumns * taps * k * element(); }
  int64_t bytes() const { return panel_offset(panels() - 1) + taps * tap_bytes(panels() - 1); }
};

// Where element (tap, k, n) of B lies: data[tap·tap_step + k·k_step + n·n_step].
struct StridedB {
  const void* data = nullptr;
  DType dtype = DType::kF32;
  int64_t tap_step = 0, k_step = 0, n_step = 0;
  int64_t k_valid = INT64_MAX;  // rows at and beyond it are zero (only where n_step is 1)
};

// Fills one panel, converting from any float dtype.
void pack_panel(const Simd& simd, const PanelLayout& layout, const StridedB& b, int64_t panel,
                char* packed);
// All panels, in parallel.
void pack_panels(const Context& context, const PanelLayout& layout, const StridedB& b,
                 char* packed);

// The dtype in which a product with these operands is computed: bf16 where a is bf16, the
// processor multiplies it and every k is even; else f32.
bool computes_in_bf16(const Context& context, DType a, int64_t k);

// 64-byte aligned memory of a kernel's own, in huge pages where it is large and the system has
// them.
class AlignedBytes {
 public:
  AlignedBytes() = default;
  explicit AlignedBytes(int64_t bytes);
  char* get() const { return data_.get(); }

 private:
  struct Free {
    size_t alignment;
    void operator()(char* p) const { ::operator delete (p, std::align_val_t{alignment}); }
  };
  std::unique_ptr<char, Free> data_{nullptr, Free{64}};
};

using ops::Activation;
using ops::parse_activation;
void activate(const Simd& simd, Activation activation, const float* x, float* y, int64_t n);

}  // namespace zoetrope::cpu
