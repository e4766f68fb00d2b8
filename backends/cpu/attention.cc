// Attention, plain or packed, without an N x M matrix: keys and values are packed once a call,
// then every task takes 64 queries of one head through the keys, 256 at a time, with a running
// softmax (arXiv 2205.14135, algorithm 1).
#include <algorithm>
#include <cmath>
#include <cstring>
#include <numbers>

#include "backends/cpu/attention_keys8.h"
#include "backends/cpu/gemm/gemm.h"
#include "backends/cpu/kernel.h"
#include "backends/cpu/rows.h"
#include "graph/ops/attention.h"

namespace zoetrope::cpu {
namespace {

using enum ops::AttentionInput;

constexpr int64_t kQueries = 64;                   // of a task
constexpr int64_t kPanel = PanelLayout::kColumns;  // keys of a packed panel
constexpr int64_t kPanels = 4;                     // of a softmax block
constexpr int64_t kKeys = kPanels * kPanel;

class AttentionKernel : public CpuKernel {
 public:
  using CpuKernel::CpuKernel;

  static Prepared prepare(const KernelRequest& request, const Context& context);
  Status generate() override;
  Status run(const Call& call) const override;

 private:
  // A thread's part of the workspace.
  struct Scratch {
    float *scores, *output, *max, *sum, *correction, *mask;
    int32_t* valid;
    char *queries, *probabilities;
    float* query_factors;  // of 8 bits
    char* line;
  };
  // 64 queries of one head.
  struct Tile {
    int64_t sample, head, first, rows;
  };

  void lay_out_workspace();
  Scratch scratch(const Call& call, int worker) const;
  void pack(const Call& call, int64_t task, int worker) const;
  HeadRows rows_of(const Call& call, size_t input, const ops::AttentionRows& rows, int64_t sample,
                   int64_t row, int64_t head, int64_t dim) const;
  int64_t keys_of(const Call& call, int64_t sample) const;
  int64_t head_bytes() const { return align_up(eights_ ? keys8_.bytes() : keys_layout_.bytes()); }
  void run_tile(const Call& call, const Tile& tile, const Scratch& s) const;
  void key_block(const Call& call, const Tile& tile, const Scratch& s, const char* q, int64_t block,
                 int64_t end) const;
  void add_mask(const Call& call, const Tile& tile, const Scratch& s, int64_t key,
                int64_t columns) const;
  void finish(const Call& call, const Tile& tile, const Scratch& s) const;
  int64_t key_limit(const Call& call, const Tile& tile, int64_t row) const;
  int64_t panels() const { return keys_layout_.panels(); }
  int64_t value_block_bytes() const { return align_up(value_layout_.bytes()); }
  int64_t q_step() const { return eights_ ? keys8_.depth() : convert_q_ ? dim_ : q_.columns; }
  const BlockKernel& score_block(bool last_rows, bool last_panel) const {
    return *score_blocks_[(last_rows ? 2 : 0) + (last_panel ? 1 : 0)];
  }
  const BlockKernel& value_block(bool last_rows, bool last_panel, int64_t batch) const {
    return *value_blocks_[idx((batch - 1) * 4 + (last_rows ? 2 : 0) + (last_panel ? 1 : 0))];
  }

  int64_t batch_ = 0, queries_ = 0, keys_ = 0, heads_ = 0, kv_heads_ = 0, dim_ = 0, value_dim_ = 0;
  ops::AttentionRows q_, k_, v_;
  DType dtype_{}, mask_dtype_{};
  bool bf16_ = false, convert_q_ = false, causal_ = false, has_lengths_ = false, has_mask_ = false,
       eights_ = false;  // scores are products of bytes
  float scale_ = 1;
  ops::Strides mask_steps_{};
  PanelLayout keys_layout_, value_layout_;  // of one head; of 64 keys of one head
  Keys8 keys8_;
  int64_t keys_at_ = 0, values_at_ = 0, scratch_at_ = 0, scratch_bytes_ = 0;
  int64_t at_[11] = {};
  std::vector<std::shared_ptr<const BlockKernel>> score_blocks_, value_blocks_;
};

Prepared AttentionKernel::prepare(const KernelRequest& request, const Context& context) {
  auto kernel = std::make_unique<AttentionKernel>(context);
  AttentionKernel& k = *kernel;
  const ops::AttentionShape s = ops::attention_shape(context_of(request), request.node->op);
  k.batch_ = s.batch, k.queries_ = s.queries, k.heads_ = s.heads, k.dim_ = s.dim;
  k.keys_ = s.keys, k.kv_heads_ = s.kv_heads, k.value_dim_ = s.value_dim;
  k.q_ = s.q, k.k_ = s.k, k.v_ = s.v;
  k.causal_ = s.causal, k.scale_ = static_cast<float>(s.scale), k.mask_steps_ = s.mask;
  k.dtype_ = in(request, kQ).dtype;
  k.bf16_ = computes_in_bf16(context, k.dtype_, k.dim_);
  k.convert_q_ = k.dtype_ != (k.bf16_ ? DType::kBF16 : DType::kF32);
  k.has_lengths_ = has(request, kKeyLengths);
  k.has_mask_ = has(request, kMask);
  if (k.has_mask_) k.mask_dtype_ = in(request, kMask).dtype;
  // From so many on, what narrowing takes is made up for; of bf16, which is as quick as i8 in small
  // blocks, heads of 64 and 72 gained nothing (bench/RESULTS.md).
  constexpr int64_t kMany = 256;
  const int64_t least_dim = k.bf16_ ? 128 : 64;
  k.eights_ = s.bits == 8 && has_i8_blocks(context) && std::min(s.queries, s.keys) >= kMany &&
              s.dim >= least_dim;
  k.keys8_ = {k.keys_, k.dim_};
  k.keys_layout_ = {k.keys_, k.dim_, 1, k.bf16_};
  k.value_layout_ = {k.value_dim_, kPanel, 1, k.bf16_};
  k.lay_out_workspace();
  k.info.name =
      str("attention_", dtype_name(k.dtype_), k.eights_ ? "_keys_in_i8" : "",
          k.bf16_ ? "_in_bf16" : "_in_f32", context.isa >= Isa::kAvx2 ? "_brgemm_" : "_simd_",
          isa_name(context.isa), "_", kQueries, "x", kKeys);
  return std::unique_ptr<CpuKernel>(std::move(kernel));
}

void AttentionKernel::lay_out_workspace() {
  WorkspaceLayout workspace;
  keys_at_ = workspace.add(batch_ * kv_heads_ * head_bytes());
  values_at_ = workspace.add(batch_ * kv_heads_ * panels() * value_block_bytes());
  scratch_at_ = workspace.bytes();
  const int64_t bytes[11] = {kQueries * kKeys * 4,
                             kQueries * value_dim_ * 4,
                             kQueries * 4,
                             kQueries * 4,
                             kQueries * 4,
                             has_mask_ ? kKeys * 4 : 0,
                             kQueries * 4,
                             eights_      ? kQueries * keys8_.depth()
                             : convert_q_ ? kQueries * dim_ * 4
                                          : 0,
                             bf16_ ? kQueries * kKeys * 2 : 0,
                             eights_ ? kQueries * 4 : 0,
                             eights_ ? keys8_.line_bytes() : 0};
  WorkspaceLayout own;
  for (size_t i = 0; i < std::size(bytes); ++i) at_[i] = own.add(bytes[i]);
  scratch_bytes_ = own.bytes();
  workspace.add(scratch_bytes_ * context().threads());
  info.workspace_bytes = workspace.bytes();
}

AttentionKernel::Scratch AttentionKernel::scratch(const Call& call, int worker) const {
  const int64_t base = scratch_at_ + worker * scratch_bytes_;
  const auto floats = [&](int i) { return call.workspace<float>(base + at_[i]); };
  return {floats(0),
          floats(1),
          floats(2),
          floats(3),
          floats(4),
          floats(5),
          call.workspace<int32_t>(base + at_[6]),
          call.workspace(base + at_[7]),
          call.workspace(base + at_[8]),
          floats(9),
          call.workspace(base + at_[10])};
}

Status AttentionKernel::generate() {
  const int64_t last_rows = (queries_ - 1) % kQueries + 1;
  const int64_t full_rows = std::min(queries_, kQueries);
  const int64_t last_keys = panels() - 1, last_values = value_layout_.panels() - 1;
  for (int64_t rows : {full_rows, last_rows}) {
    for (bool last : {false, true}) {
      BlockShape s;
      s.m = rows, s.k = eights_ ? keys8_.depth() : dim_;
      s.bf16 = bf16_ && !eights_, s.i8 = eights_;
      s.n = eights_ ? kPanel : last ? keys_layout_.columns(last_keys) : std::min(keys_, kPanel);
      s.ldb = eights_ ? kPanel : keys_layout_.width(last ? last_keys : 0);
      s.lda = q_step(), s.ldc = kKeys;
      ZT_ASSIGN_OR_RETURN(auto block, BlockKernel::get(context(), s));
      score_blocks_.push_back(std::move(block));
    }
  }
  for (int64_t batch = 1; batch <= std::min(kPanels, panels()); ++batch) {
    for (int64_t rows : {full_rows, last_rows}) {
      for (bool last : {false, true}) {
        BlockShape s;
        s.m = rows, s.k = kPanel, s.batch = batch, s.bf16 = bf16_, s.accumulate = true;
        s.n = last ? value_layout_.columns(last_values) : std::min(value_dim_, kPanel);
        s.ldb = value_layout_.width(last ? last_values : 0);
        s.lda = kKeys, s.ldc = value_dim_;
        ZT_ASSIGN_OR_RETURN(auto block, BlockKernel::get(context(), s));
        value_blocks_.push_back(std::move(block));
      }
    }
  }
  return Status();
}

HeadRows AttentionKernel::rows_of(const Call& call, size_t input, const ops::AttentionRows& rows,
                                  int64_t sample, int64_t row, int64_t head, int64_t dim) const {
  const int64_t size = dtype_size(dtype_), all = input == kQ ? queries_ : keys_;
  const int64_t at = (sample * all + row) * rows.columns + rows.offset + head * dim;
  return {call.input<char>(input) + at * size, dtype_, rows.columns * size};
}

// One panel of keys and the values of the same keys.
void AttentionKernel::pack(const Call& call, int64_t task, int worker) const {
  const int64_t panel = task % panels(), head = task / panels() % kv_heads_;
  const int64_t sample = task / panels() / kv_heads_, size = dtype_size(dtype_);
  const int64_t index = sample * kv_heads_ + head;
  const HeadRows k = rows_of(call, kK, k_, sample, 0, head, dim_);
  char* keys = call.workspace(keys_at_ + index * head_bytes());
  if (eights_)
    keys8_.pack(simd(), k, panel, scratch(call, worker).line, keys);
  else
    pack_panel(simd(), keys_layout_, {k.data, dtype_, 0, 1, k_.columns}, panel, keys);
  const int64_t first = panel * kPanel;
  const char* v = call.input<char>(kV) +
                  ((sample * keys_ + first) * v_.columns + v_.offset + head * value_dim_) * size;
  const StridedB values{v, dtype_, 0, v_.columns, 1, keys_ - first};
  for (int64_t p = 0; p < value_layout_.panels(); ++p)
    pack_panel(simd(), value_layout_, values, p,
               call.workspace(values_at_ + (index * panels() + panel) * value_block_bytes()));
}

Status AttentionKernel::run(const Call& call) const {
  if (eights_)
    pool().run(batch_ * kv_heads_, [&](int64_t index, int worker) {
      const int64_t sample = index / kv_heads_;
      keys8_.take_mean(simd(), rows_of(call, kK, k_, sample, 0, index % kv_heads_, dim_),
                       keys_of(call, sample), scratch(call, worker).line,
                       call.workspace(keys_at_ + index * head_bytes()));
    });
  pool().run(batch_ * kv_heads_ * panels(),
             [&](int64_t task, int worker) { pack(call, task, worker); });
  const int64_t tiles = (queries_ + kQueries - 1) / kQueries;
  pool().run(batch_ * heads_ * tiles, [&](int64_t task, int worker) {
    Tile tile{};
    tile.first = task % tiles * kQueries;
    tile.rows = std::min(kQueries, queries_ - tile.first);
    tile.head = task / tiles % heads_;
    tile.sample = task / tiles / heads_;
    run_tile(call, tile, scratch(call, worker));
  });
  return Status();
}

int64_t AttentionKernel::keys_of(const Call& call, int64_t sample) const {
  if (!has_lengths_) return keys_;
  return std::clamp<int64_t>(call.input<int32_t>(kKeyLengths)[sample], 0, keys_);
}

// The first key that the query does not see.
int64_t AttentionKernel::key_limit(const Call& call, const Tile& tile, int64_t row) const {
  int64_t limit = keys_of(call, tile.sample);
  if (causal_) limit = std::clamp<int64_t>(tile.first + row + keys_ - queries_ + 1, 0, limit);
  return limit;
}

void AttentionKernel::run_tile(const Call& call, const Tile& tile, const Scratch& s) const {
  const HeadRows rows = rows_of(call, kQ, q_, tile.sample, tile.first, tile.head, dim_);
  const char* q = rows.data;
  if (eights_) {
    keys8_.narrow_queries(simd(), rows, tile.rows, s.line, s.queries, s.query_factors);
    q = s.queries;
  } else if (convert_q_) {
    for (int64_t r = 0; r < tile.rows; ++r)
      widen(simd(), dtype_, q + r * rows.step, reinterpret_cast<float*>(s.queries) + r * dim_,
            dim_);
    q = s.queries;
  }
  std::fill_n(s.max, tile.rows, -INFINITY);
  std::fill_n(s.sum, tile.rows, 0.0f);
  std::fill_n(s.output, tile.rows * value_dim_, 0.0f);
  const int64_t end = key_limit(call, tile, tile.rows - 1);  // the last row sees most
  for (int64_t block = 0; block * kKeys < end; ++block) key_block(call, tile, s, q, block, end);
  finish(call, tile, s);
}

void AttentionKernel::key_block(const Call& call, const Tile& tile, const Scratch& s, const char* q,
                                int64_t block, int64_t end) const {
  const int64_t key = block * kKeys, first = block * kPanels;
  const int64_t count = std::min(kPanels, (end - key + kPanel - 1) / kPanel);
  const int64_t index = tile.sample * kv_heads_ + tile.head / (heads_ / kv_heads_);
  const bool last_rows = tile.rows != std::min(queries_, kQueries);
  const char* k = call.workspace(keys_at_ + index * head_bytes());
  const int64_t none[2] = {0, 0};
  for (int64_t p = first; p < first + count; ++p) {
    float* scores = s.scores + (p - first) * kPanel;
    score_block(last_rows, p == panels() - 1)
        .run(q, eights_ ? keys8_.panel(k, p) : k + keys_layout_.panel_offset(p), none, scores);
  }

  const int64_t columns = count * kPanel;
  for (int64_t r = 0; eights_ && r < tile.rows; ++r)
    keys8_.scale(simd(), k, key, columns, s.query_factors[r], s.scores + r * kKeys);
  for (int64_t r = 0; r < tile.rows; ++r)
    s.valid[r] =
        static_cast<int32_t>(std::clamp<int64_t>(key_limit(call, tile, r) - key, 0, columns));
  float scale = scale_ * std::numbers::log2e_v<float>;
  if (has_mask_) {
    add_mask(call, tile, s, key, std::min(columns, keys_ - key));
    scale = std::numbers::log2e_v<float>;
  }
  auto* half = bf16_ ? reinterpret_cast<uint16_t*>(s.probabilities) : nullptr;
  simd().softmax_block(s.scores, half, kKeys, tile.rows, columns, s.valid, scale, s.max, s.sum,
                       s.correction);
  const void* probabilities = bf16_ ? static_cast<const void*>(half) : s.scores;
  for (int64_t r = 0; r < tile.rows; ++r)
    if (s.correction[r] != 1)
      simd().scale(s.output + r * value_dim_, s.correction[r], s.output + r * value_dim_,
                   value_dim_);
  int64_t offsets[2 * kPanels];
  for (int64_t i = 0; i < count; ++i) {
    offsets[2 * i] = i * kPanel * value_layout_.element();
    offsets[2 * i + 1] = i * value_block_bytes();
  }
  const char* v = call.workspace(values_at_ + (index * panels() + first) * value_block_bytes());
  for (int64_t p = 0; p < value_layout_.panels(); ++p)
    value_block(last_rows, p == value_layout_.panels() - 1, count)
        .run(probabilities, v + value_layout_.panel_offset(p), offsets, s.output + p * kPanel);
}

// scores = scores·scale + mask
void AttentionKernel::add_mask(const Call& call, const Tile& tile, const Scratch& s, int64_t key,
                               int64_t columns) const {
  const int64_t step = mask_steps_[3], size = dtype_size(mask_dtype_);
  for (int64_t r = 0; r < tile.rows; ++r) {
    const int64_t at = tile.sample * mask_steps_[0] + tile.head * mask_steps_[1] +
                       (tile.first + r) * mask_steps_[2] + key * step;
    widen(simd(), mask_dtype_, call.input<char>(kMask) + at * size, s.mask, step ? columns : 1);
    if (step == 0) std::fill_n(s.mask + 1, columns - 1, s.mask[0]);
    float* row = s.scores + r * kKeys;
    simd().multiply_add(s.mask, &scale_, 0, row, row, columns);
  }
}

void AttentionKernel::finish(const Call& call, const Tile& tile, const Scratch& s) const {
  char* out = call.output<char>();
  for (int64_t r = 0; r < tile.rows; ++r) {
    float* row = s.output + r * value_dim_;
    simd().scale(row, s.sum[r] == 0 ? 0.0f : 1 / s.sum[r], row, value_dim_);
    const int64_t at =
        ((tile.sample * queries_ + tile.first + r) * heads_ + tile.head) * value_dim_;
    narrow(simd(), dtype_, row, out + at * dtype_size(dtype_), value_dim_);
  }
}

bool accepts(const KernelRequest& request) {
  const ops::AttentionShape s = ops::attention_shape(context_of(request), request.node->op);
  return is_compute_dtype(in(request, kQ).dtype) && out(request).shape.elements() > 0 &&
         s.dim > 0 && s.keys > 0 &&
         (!has(request, kMask) || is_compute_dtype(in(request, kMask).dtype));
}

constexpr TableRow kTable[] = {
    {OpKind::kAttention, "attention", Isa::kSse4, accepts, AttentionKernel::prepare},
    {OpKind::kPackedAttention, "packed_attention", Isa::kSse4, accepts, AttentionKernel::prepare},
};

}  // namespace

std::span<const TableRow> attention_table() { return kTable; }

}  // namespace zoetrope::cpu
