// conv and fused_conv as sums of matrix products, one a tap of the kernel, with no im2col: a task
// is a few output rows; the input rows that they read are used where they lie, or copied with their
// padding into a buffer of the thread.
#include <algorithm>
#include <cstring>
#include <vector>

#include "backends/cpu/gemm/gemm.h"
#include "backends/cpu/kernel.h"
#include "backends/cpu/rows.h"
#include "graph/ops/conv_shape.h"

namespace zoetrope::cpu {
namespace {

enum Input : size_t { kX, kWeight, kBias };

constexpr int64_t kMaxTaps = 64;  // of one block product

class ConvKernel : public CpuKernel {
 public:
  using CpuKernel::CpuKernel;

  static Prepared prepare(const KernelRequest& request, const Context& context);
  Status generate() override;
  void pack(const HostTensor& weight, char* to) const override { pack(weight.data, to); }
  Status run(const Call& call) const override;

 private:
  // Output rows [h, h + rows) and columns [w, w + columns) of one frame.
  struct Tile {
    int64_t batch, t, h, w, rows, columns;
  };
  struct Scratch {
    char* lines;  // converted or padded input rows
    float* c;     // output before narrowing
  };

  void collapse();
  void choose_tile();
  void lay_out_workspace(const KernelRequest& request);
  void pack(const void* weight, char* packed) const;
  Tile tile_at(int64_t task) const;
  const char* line(const Call& call, const Tile& tile, const Scratch& s, int64_t dt,
                   int64_t dh) const;
  void copy_line(const Call& call, const Tile& tile, int64_t t, int64_t h, char* to) const;
  void run_tile(const Call& call, const Tile& tile, const Scratch& s, const float* bias,
                const char* packed) const;
  void multiply(const Call& call, const Tile& tile, const Scratch& s, const char* packed,
                int64_t group, float* c, int64_t ldc) const;
  void finish(const Call& call, const Tile& tile, int64_t group, float* c, int64_t ldc,
              const float* bias) const;
  char* out_at(const Call& call, const Tile& tile, int64_t row, int64_t column) const {
    const int64_t position =
        ((tile.batch * g_.out[0] + tile.t) * g_.out[1] + tile.h + row) * g_.out[2] + tile.w +
        column;
    return call.output<char>() + position * g_.filters * dtype_size(dtype_);
  }
  int64_t taps() const { return g_.kernel[0] * g_.kernel[1] * g_.kernel[2]; }
  int64_t tap_groups() const { return (taps() + taps_per_call_ - 1) / taps_per_call_; }
  int64_t cg() const { return g_.channels / g_.groups; }
  int64_t og() const { return g_.filters / g_.groups; }
  int64_t element() const { return layout_.element(); }
  // Input columns that `columns` outputs read.
  int64_t span(int64_t columns) const {
    return (columns - 1) * g_.stride[2] + (g_.kernel[2] - 1) * g_.dilation[2] + 1;
  }
  int64_t input_rows(int64_t rows) const {
    return (rows - 1) * g_.stride[1] + (g_.kernel[1] - 1) * g_.dilation[1] + 1;
  }
  int64_t line_bytes() const { return align_up(span(tile_w_) * g_.channels * element()); }
  bool direct_out() const { return dtype_ == DType::kF32; }
  const BlockKernel& block(bool last_columns, bool last_panel, int64_t tap_group) const {
    return *blocks_[idx((tap_group * 2 + (last_columns ? 1 : 0)) * 2 + (last_panel ? 1 : 0))];
  }

  ops::Conv3d g_{};
  bool replicate_[3] = {}, in_place_ = false, weight_ = false;
  DType dtype_{}, weight_dtype_{};
  Activation activation_ = Activation::kNone;
  PanelLayout layout_;  // of one group
  int64_t tile_h_ = 1, tile_w_ = 1, taps_per_call_ = 1;
  VectorOperand bias_;
  int64_t zeros_at_ = 0, scratch_at_ = 0, scratch_bytes_ = 0, c_at_ = 0, packed_at_ = 0;
  std::vector<std::shared_ptr<const BlockKernel>> blocks_;
};

// Rows without a kernel across them are one long row.
void ConvKernel::collapse() {
  const auto plain = [&](int d) {
    return g_.kernel[d] == 1 && g_.stride[d] == 1 && g_.pad_lo[d] == 0 && g_.in[d] == g_.out[d];
  };
  if (!plain(1) || !plain(2)) return;
  g_.in[2] *= g_.in[1], g_.out[2] *= g_.out[1];
  g_.in[1] = g_.out[1] = 1;
  if (!plain(0)) return;
  g_.in[2] *= g_.in[0] * g_.batch, g_.out[2] *= g_.out[0] * g_.batch;
  g_.in[0] = g_.out[0] = g_.batch = 1;
}

void ConvKernel::choose_tile() {
  const auto tasks = [&] {
    return g_.batch * g_.out[0] * ((g_.out[1] + tile_h_ - 1) / tile_h_) *
           ((g_.out[2] + tile_w_ - 1) / tile_w_);
  };
  constexpr int64_t kTasks = 48;
  for (int64_t positions = 256; positions >= 16; positions /= 2) {
    tile_w_ = std::min(g_.out[2], positions);
    tile_h_ = std::clamp<int64_t>(positions / tile_w_, 1, g_.out[1]);
    if (tasks() >= kTasks) break;
  }
  // A panel of the taps of one call stays in the second-level cache while the rows pass.
  constexpr int64_t kPanelBytes = 384 << 10;
  taps_per_call_ = std::clamp<int64_t>(kPanelBytes / (cg() * PanelLayout::kColumns * element()), 1,
                                       std::min(taps(), kMaxTaps));
}

Prepared ConvKernel::prepare(const KernelRequest& request, const Context& context) {
  auto kernel = std::make_unique<ConvKernel>(context);
  ConvKernel& k = *kernel;
  const OpContext op{request.inputs, attrs(request)};
  k.g_ = ops::as_conv3d(op, in(request, kX).shape, in(request, kWeight).shape, out(request).shape);
  k.dtype_ = in(request, kX).dtype, k.weight_dtype_ = in(request, kWeight).dtype;
  k.weight_ = request.is_weight[kWeight];
  if (request.node->op == OpKind::kConvBias) {
    k.activation_ = parse_activation(attrs(request).get_string("activation"));
    const int spatial = in(request, kX).shape.rank() - 2;
    const auto replicate = ops::ints_or(attrs(request), "replicate", spatial, 0);
    for (int d = 0; d < spatial; ++d) k.replicate_[3 - spatial + d] = replicate[idx(d)] != 0;
  }
  k.collapse();
  const bool bf16 = computes_in_bf16(context, k.dtype_, k.cg());
  k.layout_ = {k.og(), k.cg(), k.taps(), bf16};
  k.choose_tile();
  const bool inside = k.g_.pad_lo[2] == 0 && k.span(k.g_.out[2]) <= k.g_.in[2];
  k.in_place_ = inside && k.dtype_ == (bf16 ? DType::kBF16 : DType::kF32);
  k.lay_out_workspace(request);
  k.info.name =
      str("conv_", dtype_name(k.dtype_), "_", dtype_name(k.weight_dtype_),
          bf16 ? "_in_bf16" : "_in_f32", context.isa >= Isa::kAvx2 ? "_brgemm_" : "_simd_",
          isa_name(context.isa), "_", k.tile_h_, "x", k.tile_w_, k.in_place_ ? "" : "_lines");
  return std::unique_ptr<CpuKernel>(std::move(kernel));
}

void ConvKernel::lay_out_workspace(const KernelRequest& request) {
  WorkspaceLayout workspace;
  bias_ = VectorOperand::reserve(request, kBias, &workspace);
  zeros_at_ = workspace.add(line_bytes());
  scratch_at_ = workspace.bytes();
  c_at_ = in_place_ ? 0 : g_.kernel[0] * input_rows(tile_h_) * line_bytes();
  scratch_bytes_ = align_up(c_at_ + (direct_out() ? 0 : tile_h_ * tile_w_ * og() * 4));
  workspace.add(scratch_bytes_ * context().threads());
  packed_at_ = workspace.bytes();
  const int64_t packed = g_.groups * align_up(layout_.bytes());
  if (weight_) {
    info.packed.push_back({kWeight, packed,
                           str("taps_", layout_.bf16 ? "bf16" : "f32", "_", g_.groups, "x", taps(),
                               "x", cg(), "x", og())});
  } else {
    workspace.add(packed);
  }
  info.workspace_bytes = workspace.bytes();
}

void ConvKernel::pack(const void* weight, char* packed) const {
  const int64_t filter = taps() * cg(), panels = layout_.panels();
  pool().run(g_.groups * panels, [&](int64_t task, int) {
    const int64_t group = task / panels;
    const char* data =
        static_cast<const char*>(weight) + group * og() * filter * dtype_size(weight_dtype_);
    pack_panel(simd(), layout_, {data, weight_dtype_, cg(), 1, filter}, task % panels,
               packed + group * align_up(layout_.bytes()));
  });
}

Status ConvKernel::generate() {
  const int64_t last_columns = (g_.out[2] - 1) % tile_w_ + 1, last = layout_.panels() - 1;
  for (int64_t first = 0; first < taps(); first += taps_per_call_) {
    for (int64_t columns : {tile_w_, last_columns}) {
      for (bool last_panel : {false, true}) {
        BlockShape s;
        s.m = columns, s.k = cg(), s.batch = std::min(taps_per_call_, taps() - first);
        s.n = last_panel ? layout_.columns(last) : std::min(og(), PanelLayout::kColumns);
        s.ldb = layout_.width(last_panel ? last : 0);
        s.lda = g_.stride[2] * g_.channels;
        s.ldc = direct_out() ? g_.filters : og();
        s.bf16 = layout_.bf16, s.accumulate = first > 0;
        ZT_ASSIGN_OR_RETURN(auto block, BlockKernel::get(context(), s));
        blocks_.push_back(std::move(block));
      }
    }
  }
  return Status();
}

Status ConvKernel::run(const Call& call) const {
  const float* bias = bias_.load(call, simd());
  const char* packed = call.input<char>(kWeight);
  if (!weight_) {
    pack(call.input(kWeight), call.workspace(packed_at_));
    packed = call.workspace(packed_at_);
  }
  std::memset(call.workspace(zeros_at_), 0, idx(line_bytes()));
  const int64_t tasks = g_.batch * g_.out[0] * ((g_.out[1] + tile_h_ - 1) / tile_h_) *
                        ((g_.out[2] + tile_w_ - 1) / tile_w_);
  pool().run(tasks, [&](int64_t task, int worker) {
    Scratch s{};
    if (scratch_bytes_ > 0) {
      s.lines = call.workspace(scratch_at_ + worker * scratch_bytes_);
      s.c = reinterpret_cast<float*>(s.lines + c_at_);
    }
    run_tile(call, tile_at(task), s, bias, packed);
  });
  return Status();
}

ConvKernel::Tile ConvKernel::tile_at(int64_t task) const {
  const int64_t across = (g_.out[2] + tile_w_ - 1) / tile_w_;
  const int64_t down = (g_.out[1] + tile_h_ - 1) / tile_h_;
  Tile tile{};
  tile.w = task % across * tile_w_;
  tile.h = task / across % down * tile_h_;
  tile.t = task / across / down % g_.out[0];
  tile.batch = task / across / down / g_.out[0];
  tile.rows = std::min(tile_h_, g_.out[1] - tile.h);
  tile.columns = std::min(tile_w_, g_.out[2] - tile.w);
  return tile;
}

// Where the input row of tap row (dt, dh) begins, at the column that output column 0 of the tile
// reads with tap column 0. dh counts input rows from the tile's first.
const char* ConvKernel::line(const Call& call, const Tile& tile, const Scratch& s, int64_t dt,
                             int64_t dh) const {
  if (!in_place_) return s.lines + (dt * input_rows(tile_h_) + dh) * line_bytes();
  int64_t t = tile.t * g_.stride[0] + dt * g_.dilation[0] - g_.pad_lo[0];
  int64_t h = tile.h * g_.stride[1] + dh - g_.pad_lo[1];
  if (replicate_[0]) t = std::clamp<int64_t>(t, 0, g_.in[0] - 1);
  if (replicate_[1]) h = std::clamp<int64_t>(h, 0, g_.in[1] - 1);
  if (t < 0 || t >= g_.in[0] || h < 0 || h >= g_.in[1]) return call.workspace(zeros_at_);
  const int64_t row = (tile.batch * g_.in[0] + t) * g_.in[1] + h;
  return call.input<char>(kX) + (row * g_.in[2] + tile.w * g_.stride[2]) * g_.channels * element();
}

// One input row with its padding, in the dtype of the product.
void ConvKernel::copy_line(const Call& call, const Tile& tile, int64_t t, int64_t h,
                           char* to) const {
  const int64_t count = span(tile.columns), pixel = g_.channels * element();
  if (replicate_[0]) t = std::clamp<int64_t>(t, 0, g_.in[0] - 1);
  if (replicate_[1]) h = std::clamp<int64_t>(h, 0, g_.in[1] - 1);
  if (t < 0 || t >= g_.in[0] || h < 0 || h >= g_.in[1]) {
    std::memset(to, 0, idx(count * pixel));
    return;
  }
  const int64_t first = tile.w * g_.stride[2] - g_.pad_lo[2];
  const int64_t begin = std::clamp<int64_t>(-first, 0, count);
  const int64_t end = std::clamp<int64_t>(g_.in[2] - first, begin, count);
  const int64_t row = (tile.batch * g_.in[0] + t) * g_.in[1] + h;
  const char* x = call.input<char>(kX) + row * g_.in[2] * g_.channels * dtype_size(dtype_);
  const auto copy = [&](int64_t from, int64_t at, int64_t n) {
    const char* source = x + from * g_.channels * dtype_size(dtype_);
    if (layout_.bf16 || dtype_ == DType::kF32) {
      std::memcpy(to + at * pixel, source, idx(n * pixel));
    } else {
      widen(simd(), dtype_, source, reinterpret_cast<float*>(to + at * pixel), n * g_.channels);
    }
  };
  if (end > begin) copy(first + begin, begin, end - begin);
  for (int64_t i = 0; i < count; ++i) {
    if (i == begin && end > begin) i = end;
    if (i >= count) break;
    if (replicate_[2]) {
      copy(std::clamp<int64_t>(first + i, 0, g_.in[2] - 1), i, 1);
    } else {
      std::memset(to + i * pixel, 0, idx(pixel));
    }
  }
}

void ConvKernel::run_tile(const Call& call, const Tile& tile, const Scratch& s, const float* bias,
                          const char* packed) const {
  if (!in_place_) {
    const int64_t rows = input_rows(tile.rows);
    for (int64_t dt = 0; dt < g_.kernel[0]; ++dt)
      for (int64_t dh = 0; dh < rows; ++dh)
        copy_line(call, tile, tile.t * g_.stride[0] + dt * g_.dilation[0] - g_.pad_lo[0],
                  tile.h * g_.stride[1] + dh - g_.pad_lo[1],
                  s.lines + (dt * input_rows(tile_h_) + dh) * line_bytes());
  }
  for (int64_t group = 0; group < g_.groups; ++group) {
    float* c = s.c;
    int64_t ldc = og();
    if (direct_out()) {
      c = reinterpret_cast<float*>(out_at(call, tile, 0, 0)) + group * og();
      ldc = g_.filters;
    }
    multiply(call, tile, s, packed + group * align_up(layout_.bytes()), group, c, ldc);
    finish(call, tile, group, c, ldc, bias ? bias + group * og() : nullptr);
  }
}

void ConvKernel::multiply(const Call& call, const Tile& tile, const Scratch& s, const char* packed,
                          int64_t group, float* c, int64_t ldc) const {
  int64_t offsets[2 * kMaxTaps];
  const bool last_columns = tile.columns != tile_w_;
  const int64_t row_step = direct_out() ? g_.out[2] * ldc : tile.columns * ldc;
  for (int64_t panel = 0; panel < layout_.panels(); ++panel) {
    const char* b = packed + layout_.panel_offset(panel);
    for (int64_t tap_group = 0; tap_group < tap_groups(); ++tap_group) {
      const int64_t first = tap_group * taps_per_call_;
      const int64_t count = std::min(taps_per_call_, taps() - first);
      for (int64_t row = 0; row < tile.rows; ++row) {
        const char* base = nullptr;
        for (int64_t i = 0; i < count; ++i) {
          const int64_t tap = first + i, kw = tap % g_.kernel[2];
          const int64_t kh = tap / g_.kernel[2] % g_.kernel[1];
          const int64_t kt = tap / g_.kernel[2] / g_.kernel[1];
          const char* a = line(call, tile, s, kt, row * g_.stride[1] + kh * g_.dilation[1]) +
                          (kw * g_.dilation[2] * g_.channels + group * cg()) * element();
          if (base == nullptr) base = a;
          offsets[2 * i] = a - base;
          offsets[2 * i + 1] = tap * layout_.tap_bytes(panel);
        }
        block(last_columns, panel == layout_.panels() - 1, tap_group)
            .run(base, b, offsets, c + row * row_step + panel * PanelLayout::kColumns);
      }
    }
  }
}

void ConvKernel::finish(const Call& call, const Tile& tile, int64_t group, float* c, int64_t ldc,
                        const float* bias) const {
  if (direct_out() && bias == nullptr && activation_ == Activation::kNone) return;
  const int64_t row_step = direct_out() ? g_.out[2] * ldc : tile.columns * ldc;
  for (int64_t row = 0; row < tile.rows; ++row) {
    for (int64_t column = 0; column < tile.columns; ++column) {
      float* y = c + row * row_step + column * ldc;
      if (bias != nullptr) simd().binary[static_cast<int>(Binary::kAdd)](y, 1, bias, 1, y, og());
      if (activation_ != Activation::kNone) activate(simd(), activation_, y, y, og());
      if (!direct_out())
        narrow(simd(), dtype_, y,
               out_at(call, tile, row, column) + group * og() * dtype_size(dtype_), og());
    }
  }
}

bool accepts(const KernelRequest& request) {
  if (!is_compute_dtype(in(request, kX).dtype) || !is_float(in(request, kWeight).dtype))
    return false;
  if (has(request, kBias) && !is_compute_dtype(in(request, kBias).dtype)) return false;
  return out(request).shape.elements() > 0 && in(request, kX).shape.elements() > 0;
}

constexpr TableRow kTable[] = {
    {OpKind::kConv, "conv", Isa::kSse4, accepts, ConvKernel::prepare},
    {OpKind::kConvBias, "conv", Isa::kSse4, accepts, ConvKernel::prepare},
};

}  // namespace

std::span<const TableRow> conv_table() { return kTable; }

}  // namespace zoetrope::cpu
