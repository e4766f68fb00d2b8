// quantized_matmul: blocks of rows of a against b packed in panels, as matmul. i8 where the
// processor adds products of bytes (VNNI, AMX): a is given to oneDNN's blocks plus 128, and what
// that adds to a column's sum is taken off it; elsewhere both are widened to 16 bits and added in
// pairs. f8e4m3 is exact in bf16 and in f32, and multiplied as what the processor is faster at.
#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "backends/cpu/gemm/gemm.h"
#include "backends/cpu/kernel.h"
#include "backends/cpu/rows.h"

namespace zoetrope::cpu {
namespace {

enum Input : size_t { kA, kAScale, kB, kBScale, kBias };

constexpr int64_t kColumns = PanelLayout::kColumns;
constexpr int64_t kPanels = 4;    // of a task
constexpr int64_t kDepth = 2048;  // of one block product: with kPanels, a megabyte of b

template <typename T, typename F>
std::array<T, 256> f8_table(const F& of) {
  std::array<T, 256> table{};
  for (size_t i = 0; i < table.size(); ++i) {
    const auto byte = static_cast<uint8_t>(i);
    table[i] = of(static_cast<float>(load_element(DType::kF8E4M3, &byte, 0)));
  }
  return table;
}
const std::array<float, 256>& f8_as_f32() {
  static const auto table = f8_table<float>([](float x) { return x; });
  return table;
}
const std::array<uint16_t, 256>& f8_as_bf16() {
  static const auto table = f8_table<uint16_t>(f32_to_bf16);
  return table;
}

// What b is packed as, and a is read as.
enum class Way { kBytes, kPairs, kBf16, kF32 };
constexpr const char* kWays[] = {"i8x4", "i16x2", "bf16", "f32"};

class QuantizedMatmul : public CpuKernel {
 public:
  using CpuKernel::CpuKernel;

  static Prepared prepare(const KernelRequest& request, const Context& context);
  Status generate() override;
  void pack(const HostTensor& b, char* to) const override;
  Status run(const Call& call) const override;

 private:
  int64_t element() const { return way_ == Way::kBytes ? 1 : way_ == Way::kF32 ? 4 : 2; }
  // Neighbours in k that lie side by side.
  int64_t together() const { return way_ == Way::kF32 ? 1 : way_ == Way::kBytes ? 4 : 2; }
  bool blocks() const { return way_ != Way::kPairs; }
  bool floats() const { return way_ == Way::kBf16 || way_ == Way::kF32; }
  int64_t panels() const { return (n_ + kColumns - 1) / kColumns; }
  int64_t panel_bytes() const { return depth_ * kColumns * element(); }
  int64_t less_at() const { return align_up(panels() * panel_bytes()); }
  int64_t packed_bytes() const {
    return less_at() + (way_ == Way::kBytes ? align_up(panels() * kColumns * 4) : 0);
  }
  int64_t row_blocks() const { return (m_ + rows_ - 1) / rows_; }
  int64_t groups() const { return (panels() + kPanels - 1) / kPanels; }
  int64_t chunks() const { return (depth_ + chunk_ - 1) / chunk_; }

  void pack_panel(const uint8_t* b, int64_t panel, char* packed) const;
  void read_rows(const uint8_t* a, int64_t rows, int64_t depth, int64_t valid, char* to) const;
  // `count` neighbours as the way has them; of kBytes, b's.
  void widen_row(const uint8_t* from, int64_t count, char* to) const;
  void run_task(const Call& call, int64_t task, char* scratch, const char* packed,
                const float* bias) const;

  Way way_ = Way::kBytes;
  int64_t m_ = 0, n_ = 0, k_ = 0;
  int64_t depth_ = 0;  // k, rounded up: zeros add nothing
  int64_t rows_ = 0, chunk_ = 0;
  bool weight_ = false, rows_first_ = false;
  DType out_{};
  VectorOperand bias_;
  int64_t a_bytes_ = 0, scratch_bytes_ = 0, scratch_at_ = 0, packed_at_ = 0;
  std::vector<std::shared_ptr<const BlockKernel>> blocks_;  // by last chunk and last rows
};

Prepared QuantizedMatmul::prepare(const KernelRequest& request, const Context& context) {
  auto kernel = std::make_unique<QuantizedMatmul>(context);
  QuantizedMatmul& k = *kernel;
  k.m_ = in(request, kAScale).shape.elements();
  k.n_ = in(request, kBScale).shape.elements();
  k.k_ = in(request, kA).shape[-1];
  if (in(request, kA).dtype == DType::kI8)
    k.way_ = has_i8_blocks(context) ? Way::kBytes : Way::kPairs;
  else
    k.way_ = context.isa >= Isa::kAvx512Bf16 ? Way::kBf16 : Way::kF32;
  k.depth_ = align_up(std::max<int64_t>(k.k_, 1), k.together());
  k.weight_ = request.is_weight[kB];
  k.out_ = out(request).dtype;
  k.rows_first_ = k.n_ > k.m_;
  const int64_t chunks = (k.depth_ + kDepth - 1) / kDepth;
  k.chunk_ = align_up((k.depth_ + chunks - 1) / chunks, k.together());
  // Enough tasks that the last ones to finish cost little.
  k.rows_ = std::clamp<int64_t>(k.m_, 1, 256);
  while (k.rows_ > 32 && k.row_blocks() * k.groups() < 16 * context.threads())
    k.rows_ = (k.rows_ + 1) / 2;

  WorkspaceLayout workspace;
  k.bias_ = VectorOperand::reserve(request, kBias, &workspace);
  k.a_bytes_ = align_up(k.rows_ * k.chunk_ * k.element());
  // Sums, and a row of numbers before it is narrowed.
  k.scratch_bytes_ =
      k.a_bytes_ + align_up(k.rows_ * kPanels * kColumns * 4) + align_up(kPanels * kColumns * 4);
  k.scratch_at_ = workspace.add(k.scratch_bytes_ * context.threads());
  if (k.weight_) {
    k.info.packed.push_back(
        {kB, k.packed_bytes(),
         str("panels_", kWays[static_cast<size_t>(k.way_)], "_", k.k_, "x", k.n_)});
  } else {
    k.packed_at_ = workspace.add(k.packed_bytes());
  }
  k.info.workspace_bytes = workspace.bytes();
  k.info.name = str("quantized_matmul_", dtype_name(in(request, kA).dtype), "_in_",
                    kWays[static_cast<size_t>(k.way_)], "_", isa_name(context.isa), "_", k.rows_,
                    "x", kPanels * kColumns);
  return std::unique_ptr<CpuKernel>(std::move(kernel));
}

Status QuantizedMatmul::generate() {
  if (!blocks()) return Status();
  for (const bool last_chunk : {false, true})
    for (const bool last_rows : {false, true})
      for (const bool accumulate : {false, true}) {
        BlockShape s;
        s.m = last_rows ? m_ - (row_blocks() - 1) * rows_ : rows_;
        s.k = last_chunk ? depth_ - (chunks() - 1) * chunk_ : chunk_;
        s.n = s.ldb = kColumns;
        s.lda = s.k;
        s.ldc = kPanels * kColumns;
        s.i8 = way_ == Way::kBytes;
        s.bf16 = way_ == Way::kBf16;
        s.accumulate = accumulate;
        ZT_ASSIGN_OR_RETURN(auto block, BlockKernel::get(context(), s));
        blocks_.push_back(std::move(block));
      }
  return Status();
}

void QuantizedMatmul::widen_row(const uint8_t* from, int64_t count, char* to) const {
  const auto* signed_from = reinterpret_cast<const int8_t*>(from);
  switch (way_) {
    case Way::kBytes: std::memcpy(to, from, idx(count)); break;
    case Way::kPairs:
      for (int64_t i = 0; i < count; ++i) reinterpret_cast<int16_t*>(to)[i] = signed_from[i];
      break;
    case Way::kBf16: {
      const auto& table = f8_as_bf16();
      for (int64_t i = 0; i < count; ++i) reinterpret_cast<uint16_t*>(to)[i] = table[from[i]];
      break;
    }
    case Way::kF32: {
      const auto& table = f8_as_f32();
      for (int64_t i = 0; i < count; ++i) reinterpret_cast<float*>(to)[i] = table[from[i]];
      break;
    }
  }
}

// [depth / together, 64, together], zero beyond n and k.
void QuantizedMatmul::pack_panel(const uint8_t* b, int64_t panel, char* packed) const {
  constexpr int64_t kChunk = 512;
  char row[kChunk * 4];
  const int64_t first = panel * kColumns, columns = std::min(kColumns, n_ - first);
  const int64_t piece = together() * element();
  char* to = packed + panel * panel_bytes();
  std::memset(to, 0, idx(panel_bytes()));
  for (int64_t j = 0; j < columns; ++j)
    for (int64_t at = 0; at < k_; at += kChunk) {
      const int64_t count = std::min(kChunk, k_ - at);
      widen_row(b + (first + j) * k_ + at, count, row);
      const int64_t whole = count / together();
      char* place = to + (at / together() * kColumns + j) * piece;
      for (int64_t p = 0; p < whole; ++p)
        std::memcpy(place + p * kColumns * piece, row + p * piece, idx(piece));
      std::memcpy(place + whole * kColumns * piece, row + whole * piece,
                  idx((count - whole * together()) * element()));
    }
  if (way_ != Way::kBytes) return;
  // Sums may leave 32 bits on the way, but not in the end: they are taken modulo 2^32.
  auto* less = reinterpret_cast<uint32_t*>(packed + less_at()) + first;
  for (int64_t j = 0; j < kColumns; ++j) {
    uint32_t sum = 0;
    if (j < columns)
      for (int64_t i = 0; i < k_; ++i)
        sum += static_cast<uint32_t>(static_cast<int8_t>(b[(first + j) * k_ + i]));
    less[j] = 128 * sum;
  }
}

void QuantizedMatmul::pack(const HostTensor& b, char* to) const {
  pool().run(panels(), [&](int64_t panel, int) {
    pack_panel(static_cast<const uint8_t*>(b.data), panel, to);
  });
}

// `depth` columns of rows of a, of which `valid` are there; others are zero.
void QuantizedMatmul::read_rows(const uint8_t* a, int64_t rows, int64_t depth, int64_t valid,
                                char* to) const {
  for (int64_t r = 0; r < rows; ++r) {
    char* row = to + r * depth * element();
    if (way_ == Way::kBytes) {
      simd().i8_to_u8(a + r * k_, reinterpret_cast<uint8_t*>(row), valid);
      std::memset(row + valid, 0x80, idx(depth - valid));
    } else {
      widen_row(a + r * k_, valid, row);
      std::memset(row + valid * element(), 0, idx((depth - valid) * element()));
    }
  }
}

Status QuantizedMatmul::run(const Call& call) const {
  const float* bias = bias_.load(call, simd());
  const char* packed = call.input<char>(kB);
  if (!weight_) {
    char* to = call.workspace(packed_at_);
    pool().run(panels(),
               [&](int64_t panel, int) { pack_panel(call.input<uint8_t>(kB), panel, to); });
    packed = to;
  }
  pool().run(row_blocks() * groups(), [&](int64_t task, int worker) {
    run_task(call, task, call.workspace(scratch_at_ + worker * scratch_bytes_), packed, bias);
  });
  return Status();
}

void QuantizedMatmul::run_task(const Call& call, int64_t task, char* scratch, const char* packed,
                               const float* bias) const {
  const int64_t group = rows_first_ ? task / row_blocks() : task % groups();
  const int64_t row_block = rows_first_ ? task % row_blocks() : task / groups();
  const int64_t first_row = row_block * rows_, rows = std::min(rows_, m_ - first_row);
  const int64_t first_panel = group * kPanels;
  const int64_t end_panel = std::min(first_panel + kPanels, panels());
  const int64_t ldc = kPanels * kColumns;
  auto* sums = reinterpret_cast<int32_t*>(scratch + a_bytes_);
  const int64_t offsets[2] = {0, 0};
  for (int64_t chunk = 0; chunk < chunks(); ++chunk) {
    const int64_t at = chunk * chunk_, depth = std::min(chunk_, depth_ - at);
    const int64_t valid = std::clamp<int64_t>(k_ - at, 0, depth);
    const auto* a = call.input<uint8_t>(kA);
    read_rows(valid > 0 ? a + first_row * k_ + at : a, rows, depth, valid, scratch);
    for (int64_t panel = first_panel; panel < end_panel; ++panel) {
      const char* b = packed + panel * panel_bytes() + at * kColumns * element();
      int32_t* c = sums + (panel - first_panel) * kColumns;
      if (blocks()) {
        const size_t block = (chunk == chunks() - 1 ? 4 : 0) +
                             (row_block == row_blocks() - 1 ? 2 : 0) + (chunk > 0 ? 1 : 0);
        blocks_[block]->run(scratch, b, offsets, c);
      } else {
        simd().gemm_i16(reinterpret_cast<const int16_t*>(scratch), depth,
                        reinterpret_cast<const int16_t*>(b), kColumns, c, ldc, rows, kColumns,
                        depth, chunk > 0);
      }
    }
  }
  const int64_t first = first_panel * kColumns;
  const int64_t columns = std::min(n_, end_panel * kColumns) - first;
  const auto* less =
      way_ == Way::kBytes ? reinterpret_cast<const int32_t*>(packed + less_at()) + first : nullptr;
  auto* row = reinterpret_cast<float*>(scratch + a_bytes_ + align_up(rows_ * ldc * 4));
  for (int64_t r = 0; r < rows; ++r) {
    char* to = call.output<char>() + ((first_row + r) * n_ + first) * dtype_size(out_);
    float* y = out_ == DType::kF32 ? reinterpret_cast<float*>(to) : row;
    const float by = call.input<float>(kAScale)[first_row + r];
    const float *scale = call.input<float>(kBScale) + first, *add = bias ? bias + first : nullptr;
    if (floats())
      simd().scale_f32(reinterpret_cast<const float*>(sums + r * ldc), by, scale, add, y, columns);
    else
      simd().scale_i32(sums + r * ldc, less, by, scale, add, y, columns);
    if (out_ != DType::kF32) narrow(simd(), out_, y, to, columns);
  }
}

bool accepts(const KernelRequest& request) {
  return in(request, kBScale).shape.elements() > 0 &&
         (!has(request, kBias) || is_compute_dtype(in(request, kBias).dtype));
}

constexpr TableRow kTable[] = {
    {OpKind::kQuantizedMatmul, "quantized_matmul", Isa::kSse4, accepts, QuantizedMatmul::prepare},
};

}  // namespace

std::span<const TableRow> quantized_matmul_table() { return kTable; }

}  // namespace zoetrope::cpu
