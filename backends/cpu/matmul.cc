// matmul and fused_linear: A [..., M, K] row major against B packed in panels. Blocks of rows and
// groups of panels are the tasks; K is cut so that a block of A and a panel of B stay in cache.
#include <algorithm>
#include <vector>

#include "backends/cpu/gemm/gemm.h"
#include "backends/cpu/kernel.h"
#include "graph/ops/matmul.h"

namespace zoetrope::cpu {
namespace {

enum Input : size_t { kA, kB, kBias };

// How the output is cut, by shape alone.
struct Tiling {
  int64_t rows = 0;    // of a task
  int64_t panels = 0;  // of a task
  int64_t depth = 0;   // of one block product

  static Tiling choose(int64_t m, const PanelLayout& b, int64_t batch, bool tiles) {
    Tiling t;
    const int64_t depth = b.bf16 ? 1024 : 512;
    const int64_t chunks = (b.k + depth - 1) / depth;
    t.depth = chunks == 1 ? b.k : align_up((b.k + chunks - 1) / chunks, 32);
    // Tile registers are several times faster than memory delivers small blocks: larger tasks.
    t.rows = std::min<int64_t>(m, tiles ? 256 : 128);
    t.panels = std::min<int64_t>(b.panels(), 4);
    // Enough tasks that the last ones to finish cost little; rows go first, as panels share A.
    const int64_t wanted = tiles ? 24 : 48;
    const auto short_of_tasks = [&] {
      return batch * ((m + t.rows - 1) / t.rows) * ((b.panels() + t.panels - 1) / t.panels) <
             wanted;
    };
    if (short_of_tasks() && t.rows > 128) t.rows = 128;
    if (short_of_tasks() && t.rows > 64) t.rows = 64;
    if (short_of_tasks() && t.panels > 2) t.panels = 2;
    if (short_of_tasks() && t.rows > 32) t.rows = 32;
    if (short_of_tasks()) t.panels = 1;
    return t;
  }
};

class MatmulKernel : public CpuKernel {
 public:
  using CpuKernel::CpuKernel;

  static Prepared prepare(const KernelRequest& request, const Context& context);
  Status generate() override;
  void pack(const HostTensor& b, char* to) const override;
  Status run(const Call& call) const override;

 private:
  struct Scratch {
    char* a;
    float* c;
  };

  StridedB source(const void* data) const;
  const float* bias(const Call& call) const;
  void run_task(const Call& call, int64_t task, const Scratch& scratch, const float* bias,
                const char* packed) const;
  void finish_rows(const float* tile, int64_t ldc, int64_t rows, int64_t columns, const float* bias,
                   char* out) const;
  const BlockKernel& block(bool last_rows, bool last_panel, int64_t chunk) const {
    return *blocks_[idx((chunk * 2 + (last_rows ? 1 : 0)) * 2 + (last_panel ? 1 : 0))];
  }
  int64_t chunks() const { return (k_ + tiling_.depth - 1) / tiling_.depth; }
  int64_t row_blocks() const { return (m_ + tiling_.rows - 1) / tiling_.rows; }
  int64_t groups() const { return (layout_.panels() + tiling_.panels - 1) / tiling_.panels; }
  int64_t lda() const { return k_; }
  bool direct_out() const { return out_dtype_ == DType::kF32; }

  int64_t m_ = 0, n_ = 0, k_ = 0;
  std::vector<int64_t> a_index_, b_index_;  // by output matrix: which matrix of a and of b
  int64_t b_count_ = 1;                     // matrices of b
  bool transpose_b_ = false, weight_ = false, has_bias_ = false, convert_a_ = false;
  DType a_dtype_{}, b_dtype_{}, bias_dtype_{}, out_dtype_{};
  Activation activation_ = Activation::kNone;
  PanelLayout layout_;
  Tiling tiling_;
  bool rows_first_ =
      false;  // neighbouring tasks share panels of b, the larger operand, not rows of a
  int64_t a_bytes_ = 0, c_bytes_ = 0, packed_at_ = 0, scratch_at_ = 0;
  std::vector<std::shared_ptr<const BlockKernel>> blocks_;
};

// Which of the matrices of `size` in operand `k` each product takes.
std::vector<int64_t> matrix_indices(const ops::Walk<2>& products, size_t k, int64_t size) {
  std::vector<int64_t> index{0};
  for (int d = 0; d < products.rank(); ++d) {
    std::vector<int64_t> next;
    for (int64_t base : index)
      for (int64_t i = 0; i < products.extents[d]; ++i)
        next.push_back(base + i * products.strides[k][idx(d)] / size);
    index = std::move(next);
  }
  return index;
}

Prepared MatmulKernel::prepare(const KernelRequest& request, const Context& context) {
  auto kernel = std::make_unique<MatmulKernel>(context);
  MatmulKernel& k = *kernel;
  const Shape& b = in(request, kB).shape;
  const ops::MatmulShape s = ops::matmul_shape(in(request, kA).shape, b, out(request).shape);
  k.transpose_b_ = attrs(request).get_bool("transpose_b");
  k.m_ = s.m, k.k_ = s.k, k.n_ = s.n;
  k.a_dtype_ = in(request, kA).dtype, k.b_dtype_ = in(request, kB).dtype;
  k.out_dtype_ = out(request).dtype;
  k.b_count_ = b.elements() / (k.k_ * k.n_);
  k.a_index_ = matrix_indices(s.products, 0, k.m_ * k.k_);
  k.b_index_ = matrix_indices(s.products, 1, k.n_ * k.k_);
  k.weight_ = request.is_weight[kB];
  k.has_bias_ = has(request, kBias);
  if (k.has_bias_) k.bias_dtype_ = in(request, kBias).dtype;
  if (request.node->op == OpKind::kLinear)
    k.activation_ = parse_activation(attrs(request).get_string("activation"));
  const bool bf16 = computes_in_bf16(context, k.a_dtype_, k.k_);
  k.layout_ = {k.n_, k.k_, 1, bf16};
  k.tiling_ = Tiling::choose(k.m_, k.layout_, static_cast<int64_t>(k.a_index_.size()),
                             bf16 && context.isa >= Isa::kAmx);
  k.rows_first_ = k.n_ > k.m_;
  k.convert_a_ = k.a_dtype_ != (bf16 ? DType::kBF16 : DType::kF32);

  KernelInfo& info = k.info;
  info.name = str("matmul_", dtype_name(k.a_dtype_), "_", dtype_name(k.b_dtype_),
                  bf16 ? "_in_bf16" : "_in_f32", context.isa >= Isa::kAvx2 ? "_brgemm_" : "_simd_",
                  isa_name(context.isa), "_", k.tiling_.rows, "x",
                  k.tiling_.panels * PanelLayout::kColumns);
  k.a_bytes_ = k.convert_a_ ? align_up(k.tiling_.rows * k.k_ * 4) : 0;
  k.c_bytes_ =
      k.direct_out() ? 0 : align_up(k.tiling_.rows * k.tiling_.panels * PanelLayout::kColumns * 4);
  k.scratch_at_ = k.has_bias_ ? align_up(k.n_ * 4) : 0;
  k.packed_at_ = k.scratch_at_ + (k.a_bytes_ + k.c_bytes_) * context.threads();
  info.workspace_bytes = k.packed_at_;
  const int64_t packed = align_up(k.layout_.bytes()) * k.b_count_;
  if (k.weight_) {
    info.packed.push_back({kB, packed,
                           str("panels_", bf16 ? "bf16" : "f32", "_", k.b_count_, "x", k.k_, "x",
                               k.n_, k.transpose_b_ ? "_from_rows" : "_from_columns")});
  } else {
    info.workspace_bytes += packed;
  }
  return std::unique_ptr<CpuKernel>(std::move(kernel));
}

StridedB MatmulKernel::source(const void* data) const {
  StridedB b{data, b_dtype_, 0, n_, 1};
  if (transpose_b_) b.k_step = 1, b.n_step = k_;
  return b;
}

void MatmulKernel::pack(const HostTensor& b, char* to) const {
  const int64_t one = n_ * k_ * dtype_size(b_dtype_);
  for (int64_t i = 0; i < b_count_; ++i)
    pack_panels(context(), layout_, source(static_cast<const char*>(b.data) + i * one),
                to + i * align_up(layout_.bytes()));
}

Status MatmulKernel::generate() {
  const int64_t last_rows = m_ - (row_blocks() - 1) * tiling_.rows;
  const int64_t last = layout_.panels() - 1;
  for (int64_t chunk = 0; chunk < chunks(); ++chunk) {
    for (int64_t rows : {tiling_.rows, last_rows}) {
      for (bool last_panel : {false, true}) {
        BlockShape s;
        s.m = rows;
        s.n = last_panel ? layout_.columns(last) : std::min(n_, PanelLayout::kColumns);
        s.k = std::min(tiling_.depth, k_ - chunk * tiling_.depth);
        s.lda = lda();
        s.ldb = last_panel ? layout_.width(last) : layout_.width(0);
        s.ldc = direct_out() ? n_ : tiling_.panels * PanelLayout::kColumns;
        s.bf16 = layout_.bf16;
        s.accumulate = chunk > 0;
        ZT_ASSIGN_OR_RETURN(auto block, BlockKernel::get(context(), s));
        blocks_.push_back(std::move(block));
      }
    }
  }
  return Status();
}

const float* MatmulKernel::bias(const Call& call) const {
  if (!has_bias_) return nullptr;
  if (bias_dtype_ == DType::kF32) return call.input<float>(kBias);
  auto* row = call.workspace<float>();
  if (is_compute_dtype(bias_dtype_)) {
    widen(simd(), bias_dtype_, call.input(kBias), row, n_);
  } else {
    for (int64_t i = 0; i < n_; ++i)
      row[i] = static_cast<float>(load_element(bias_dtype_, call.input(kBias), i));
  }
  return row;
}

Status MatmulKernel::run(const Call& call) const {
  const float* row = bias(call);
  const char* packed = call.input<char>(kB);
  if (!weight_) {
    packed = call.workspace(packed_at_);
    const int64_t one = n_ * k_ * dtype_size(b_dtype_), panels = layout_.panels();
    pool().run(b_count_ * panels, [&](int64_t task, int) {
      const int64_t matrix = task / panels;
      pack_panel(simd(), layout_, source(call.input<char>(kB) + matrix * one), task % panels,
                 call.workspace(packed_at_) + matrix * align_up(layout_.bytes()));
    });
  }
  const auto batch = static_cast<int64_t>(a_index_.size());
  pool().run(batch * row_blocks() * groups(), [&](int64_t task, int worker) {
    Scratch scratch{};
    if (a_bytes_ + c_bytes_ > 0) {
      scratch.a = call.workspace(scratch_at_ + worker * (a_bytes_ + c_bytes_));
      scratch.c = reinterpret_cast<float*>(scratch.a + a_bytes_);
    }
    run_task(call, task, scratch, row, packed);
  });
  return Status();
}

void MatmulKernel::run_task(const Call& call, int64_t task, const Scratch& scratch,
                            const float* bias, const char* packed) const {
  const int64_t blocks = row_blocks() * groups();
  const int64_t matrix = task / blocks, block_index = task % blocks;
  const int64_t group = rows_first_ ? block_index / row_blocks() : block_index % groups();
  const int64_t row_block = rows_first_ ? block_index % row_blocks() : block_index / groups();
  const int64_t first_row = row_block * tiling_.rows;
  const bool last_rows = row_block == row_blocks() - 1;
  const int64_t rows = last_rows ? m_ - first_row : tiling_.rows;
  const int64_t first_panel = group * tiling_.panels;
  const int64_t end_panel = std::min(first_panel + tiling_.panels, layout_.panels());
  const int64_t first_column = first_panel * PanelLayout::kColumns;
  const int64_t columns = std::min(n_, end_panel * PanelLayout::kColumns) - first_column;

  const char* a =
      call.input<char>(kA) + (a_index_[idx(matrix)] * m_ + first_row) * k_ * dtype_size(a_dtype_);
  if (convert_a_) {
    widen(simd(), a_dtype_, a, reinterpret_cast<float*>(scratch.a), rows * k_);
    a = scratch.a;
  }
  const char* b = packed + b_index_[idx(matrix)] * align_up(layout_.bytes());
  char* out = call.output<char>() +
              ((matrix * m_ + first_row) * n_ + first_column) * dtype_size(out_dtype_);
  float* c = direct_out() ? reinterpret_cast<float*>(out) : scratch.c;
  const int64_t ldc = direct_out() ? n_ : tiling_.panels * PanelLayout::kColumns;
  const int64_t offsets[2] = {0, 0};
  for (int64_t chunk = 0; chunk < chunks(); ++chunk) {
    const int64_t depth = chunk * tiling_.depth;
    for (int64_t panel = first_panel; panel < end_panel; ++panel)
      block(last_rows, panel == layout_.panels() - 1, chunk)
          .run(a + depth * layout_.element(),
               b + layout_.panel_offset(panel) + depth * layout_.width(panel) * layout_.element(),
               offsets, c + (panel - first_panel) * PanelLayout::kColumns);
  }
  finish_rows(c, ldc, rows, columns, bias ? bias + first_column : nullptr, out);
}

void MatmulKernel::finish_rows(const float* tile, int64_t ldc, int64_t rows, int64_t columns,
                               const float* bias, char* out) const {
  if (direct_out() && bias == nullptr && activation_ == Activation::kNone) return;
  for (int64_t r = 0; r < rows; ++r) {
    auto* row = const_cast<float*>(tile) + r * ldc;
    if (bias != nullptr)
      simd().binary[static_cast<int>(Binary::kAdd)](row, 1, bias, 1, row, columns);
    if (activation_ != Activation::kNone) activate(simd(), activation_, row, row, columns);
    if (!direct_out())
      narrow(simd(), out_dtype_, row, out + r * n_ * dtype_size(out_dtype_), columns);
  }
}

bool accepts(const KernelRequest& request) {
  const TensorType &a = in(request, kA), &b = in(request, kB), &y = out(request);
  return is_compute_dtype(a.dtype) && is_compute_dtype(y.dtype) && is_float(b.dtype) &&
         y.shape.elements() > 0 && a.shape[-1] > 0;
}

constexpr TableRow kTable[] = {
    {OpKind::kMatmul, "matmul", Isa::kSse4, accepts, MatmulKernel::prepare},
    {OpKind::kLinear, "linear", Isa::kSse4, accepts, MatmulKernel::prepare},
};

}  // namespace

std::span<const TableRow> matmul_table() { return kTable; }

}  // namespace zoetrope::cpu
