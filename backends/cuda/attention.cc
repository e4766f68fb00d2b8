// Attention: on Hopper's tensor cores, on those of sm_80 and later, or on FMA units.
#include "backends/cuda/kernels/attention.h"

#include <algorithm>
#include <cmath>

#include "backends/cuda/kernels/attention_8bit.h"
#include "backends/cuda/kernels/attention_mma.h"
#include "backends/cuda/kernels/attention_wgmma.h"
#include "backends/cuda/tensor_map.h"
#include "backends/cuda/walk.h"
#include "graph/ops/attention.h"

namespace zoetrope::cuda {
namespace {

using enum ops::AttentionInput;

AttentionParams params_of(const KernelRequest& request) {
  const ops::AttentionShape s = ops::attention_shape(context_of(request), request.node->op);
  const auto tensor = [](const ops::AttentionRows& rows, int64_t tokens) {
    return AttentionTensor{nullptr, tokens * rows.columns, rows.columns, rows.offset};
  };
  AttentionParams p;
  p.q = tensor(s.q, s.queries), p.k = tensor(s.k, s.keys), p.v = tensor(s.v, s.keys);
  p.heads = static_cast<int>(s.heads), p.kv_heads = static_cast<int>(s.kv_heads);
  p.dim = static_cast<int>(s.dim), p.v_dim = static_cast<int>(s.value_dim);
  p.dtype = in(request, kQ).dtype;
  p.batch = s.batch, p.queries = s.queries, p.keys = s.keys;
  p.scale = static_cast<float>(s.scale);
  p.causal = s.causal;
  p.mask = side(request, kMask);
  for (size_t d = 0; d < 4; ++d) p.mask_steps[d] = s.mask[d];
  return p;
}

AttentionParams bound(AttentionParams p, const Call& call) {
  const int64_t size = dtype_size(p.dtype);
  p.q.data = call.input<char>(kQ) + p.q.offset * size;
  p.k.data = call.input<char>(kK) + p.k.offset * size;
  p.v.data = call.input<char>(kV) + p.v.offset * size;
  p.lengths = call.input<int32_t>(kKeyLengths);
  p.mask.data = call.input(kMask);
  p.out = call.output();
  return p;
}

Prepared prepare_plain(const KernelRequest& request, const Context& context) {
  return simple_kernel(context, 0, [p = params_of(request)](const Call& call) {
    return attention_plain(bound(p, call), call.stream);
  });
}

bool accepts_plain(const KernelRequest& request, const Capabilities&) {
  return is_compute_dtype(in(request, kQ).dtype) &&
         (!has(request, kMask) || is_compute_dtype(in(request, kMask).dtype));
}

// Boxes of 64 dims and `rows` tokens of one head and sample.
Status map_of(const AttentionTensor& tensor, const AttentionParams& p, int heads, int64_t tokens,
              int rows, CUtensorMap* map) {
  TensorBox box;
  box.data = tensor.data;
  box.dtype = p.dtype;
  box.rank = 4;
  box.extents = {p.dim, heads, tokens, p.batch};
  box.steps = {1, p.dim, tensor.token_step, tensor.batch_step};
  box.box = {64, 1, rows, 1, 1};
  return make_tensor_map(box, map);
}

class WgmmaKernel : public CudaKernel {
 public:
  WgmmaKernel(const Context& context, const AttentionParams& p) : CudaKernel(context), params_(p) {
    choose(context.caps);
    const AttentionTile tile = attention_tile(way_);
    info.name = str("attention_wgmma_", tile.rows, "x", tile.keys, "_",
                    parts_ > 1 ? str(parts_, "parts_") : "", dtype_name(p.dtype));
  }

  Status launch(const Call& call) const override {
    AttentionWgmmaParams a;
    a.p = bound(params_, call);
    a.way = way_;
    a.parts = parts_;
    a.share = share_;
    const AttentionParams& p = a.p;
    if (p.keys == 0 || p.batch * p.queries == 0)
      return check(attention_plain(p, call.stream), "launching");
    const AttentionTile tile = attention_tile(way_);
    ZT_RETURN_IF_ERROR(map_of(p.q, p, p.heads, p.queries, tile.rows, &a.q));
    ZT_RETURN_IF_ERROR(map_of(p.k, p, p.kv_heads, p.keys, tile.keys / share_, &a.k));
    ZT_RETURN_IF_ERROR(map_of(p.v, p, p.kv_heads, p.keys, tile.keys / share_, &a.v));
    return check(attention_wgmma(a, call.stream), "launching");
  }

 private:
  void choose(const Capabilities& caps) {
    const AttentionParams& p = params_;
    const bool narrow = p.dim <= 64;
    const int64_t heads = p.heads * p.batch;
    // Time in rounds of all multiprocessors, which have a block each.
    const auto rounds = [&](AttentionWay way) {
      return ceil_div(ceil_div(p.queries, attention_tile(way).rows) * heads, caps.multiprocessors) *
             attention_tile(way).rows;
    };
    way_ = narrow        ? AttentionWay::kFew64
           : p.dim <= 80 ? AttentionWay::kFew80
                         : AttentionWay::kFew128;
    const AttentionWay many = narrow ? AttentionWay::kMany64 : AttentionWay::kMany128;
    const int64_t blocks = ceil_div(p.queries, attention_tile(way_).rows) * heads;
    const bool fills = blocks >= caps.multiprocessors && p.keys > 1024;
    // A query costs a tenth less among many, if its block is full.
    if ((narrow || p.dim > 80) &&
        (caps.switches.any_size || (fills && 10 * rounds(many) <= 11 * rounds(way_)))) {
      way_ = many;
      // Exponentials take most of the time of 64 dims: waiting for one another costs more than
      // reading half saves.
      if (!narrow && p.queries > attention_tile(many).rows) share_ = 2;
      return;
    }
    // Too few blocks for the device share the keys, each at least two tiles; of few keys that costs
    // more than it saves.
    if (blocks > 0 && p.keys >= 1024)
      parts_ = static_cast<int>(std::clamp<int64_t>(
          std::min(caps.multiprocessors / blocks, p.keys / (2 * attention_tile(way_).keys)), 1, 8));
  }

  AttentionParams params_;
  AttentionWay way_ = AttentionWay::kFew128;
  int parts_ = 1, share_ = 1;
};

Prepared prepare_wgmma(const KernelRequest& request, const Context& context) {
  return std::unique_ptr<CudaKernel>(new WgmmaKernel(context, params_of(request)));
}

// Heads begin at multiples of 16 bytes (of 16-bit elements).
bool in_chunks(const AttentionParams& p) {
  for (const AttentionTensor* t : {&p.q, &p.k, &p.v})
    if (t->token_step % 8 != 0 || t->offset % 8 != 0) return false;
  return p.dim % 8 == 0 && p.v_dim % 8 == 0;
}

// The copy engine counts in 32 bits and steps by 16 bytes.
bool accepts_wgmma(const KernelRequest& request, const Capabilities& caps) {
  if (!caps.wgmma() || !accepts_plain(request, caps) || has(request, kMask)) return false;
  const AttentionParams p = params_of(request);
  return p.dtype != DType::kF32 && p.dim == p.v_dim && p.dim <= 128 && in_chunks(p) &&
         p.scale > 0 && std::max(p.queries, p.keys) < int64_t{1} << 30;
}

// Blocks that stay and take tile after tile of queries.
class FewKeysKernel : public CudaKernel {
 public:
  FewKeysKernel(const Context& context, const AttentionParams& p)
      : CudaKernel(context), params_(p) {
    info.name = str("attention_few_keys_", kFewKeysTile.rows, "x", kFewKeysTile.keys, "_",
                    dtype_name(p.dtype));
  }

  Status launch(const Call& call) const override {
    AttentionWgmmaParams a;
    a.p = bound(params_, call);
    const AttentionParams& p = a.p;
    ZT_RETURN_IF_ERROR(map_of(p.q, p, p.heads, p.queries, kFewKeysTile.rows, &a.q));
    ZT_RETURN_IF_ERROR(map_of(p.k, p, p.kv_heads, p.keys, kFewKeysTile.keys, &a.k));
    ZT_RETURN_IF_ERROR(map_of(p.v, p, p.kv_heads, p.keys, kFewKeysTile.keys, &a.v));
    return check(attention_few_keys(a, context().caps.multiprocessors, call.stream), "launching");
  }

 private:
  const AttentionParams params_;
};

// Where a device's blocks have several tiles each. Heads of 65 to 80 dims, which this kernel would
// pad to 128, have a way of their own in the other.
bool accepts_few_keys(const KernelRequest& request, const Capabilities& caps) {
  constexpr int64_t kMostKeys = 1024;  // from here on the other kernel is as quick
  if (!accepts_wgmma(request, caps)) return false;
  const AttentionParams p = params_of(request);
  if (p.causal || p.keys == 0 || p.keys > kMostKeys || p.batch * p.queries == 0) return false;
  if (p.dim > 64 && p.dim <= 80) return false;
  const int64_t tiles = ceil_div(p.queries, kFewKeysTile.rows) * p.heads * p.batch;
  return tiles <= INT32_MAX / 2 && (caps.switches.any_size || tiles >= 2 * caps.multiprocessors);
}

Prepared prepare_few_keys(const KernelRequest& request, const Context& context) {
  return std::unique_ptr<CudaKernel>(new FewKeysKernel(context, params_of(request)));
}

// q, k and v are made 8 bits in workspace first.
class EightBitKernel : public CudaKernel {
 public:
  EightBitKernel(const Context& context, const AttentionParams& p) : CudaKernel(context) {
    params_.p = p;
    attention_8bit_split(&params_, context.caps.multiprocessors);
    info.name = str("attention_f8e4m3_", kAttention8BlockRows, "x", kAttention8Keys, "_",
                    dtype_name(p.dtype));
    info.workspace_bytes = attention_8bit_layout(&params_, nullptr);
  }

  Status launch(const Call& call) const override {
    Attention8Params a = params_;
    a.p = bound(params_.p, call);
    attention_8bit_layout(&a, call.workspace());
    ZT_RETURN_IF_ERROR(check(attention_8bit_quantize(a, call.stream), "quantising"));
    ZT_RETURN_IF_ERROR(check(attention_8bit_wgmma(a, call.stream), "launching"));
    return check(attention_8bit_combine(a, call.stream), "adding up parts");
  }

 private:
  Attention8Params params_;
};

// Where it pays: elsewhere plain products are as good an answer, and faster.
bool accepts_8bit(const KernelRequest& request, const Capabilities& caps) {
  if (attrs(request).get_int("bits") != 8 || !accepts_wgmma(request, caps)) return false;
  const AttentionParams p = params_of(request);
  if (p.keys == 0 || p.batch * p.queries == 0) return false;
  if (caps.switches.any_size) return true;
  const int64_t blocks = ceil_div(p.queries, kAttention8BlockRows) * p.heads * p.batch;
  return p.keys >= 2048 && blocks >= caps.multiprocessors;
}

Prepared prepare_8bit(const KernelRequest& request, const Context& context) {
  return std::unique_ptr<CudaKernel>(new EightBitKernel(context, params_of(request)));
}

// Copies of 16 bytes, and rows that are counted in 32 bits.
bool fits_mma(const KernelRequest& request, const Capabilities& caps, int most_dims) {
  const AttentionParams p = params_of(request);
  return caps.mma() && accepts_plain(request, caps) && p.dtype != DType::kF32 &&
         std::max(p.dim, p.v_dim) <= most_dims && in_chunks(p) &&
         std::max(p.queries, p.keys) < int64_t{1} << 30;
}

bool accepts_mma(const KernelRequest& request, const Capabilities& caps) {
  return fits_mma(request, caps, 128);
}

Prepared prepare_mma(const KernelRequest& request, const Context& context) {
  const AttentionParams p = params_of(request);
  // Blocks of 128 queries read keys half as often; those of 64 are more.
  const int64_t large_blocks = ceil_div(p.queries, 128) * p.heads * p.batch;
  const int rows =
      has(request, kMask) || large_blocks < 2 * context.caps.multiprocessors ? 64 : 128;
  auto kernel = simple_kernel(context, 0, [p, rows](const Call& call) {
    return attention_mma(bound(p, call), rows, call.stream);
  });
  kernel->info.name = str("attention_mma_", rows, "x", kAttentionMmaKeys, "_", dtype_name(p.dtype));
  return kernel;
}

bool accepts_wide(const KernelRequest& request, const Capabilities& caps) {
  return fits_mma(request, caps, kAttentionWideDims) &&
         attention_wide_bytes(params_of(request).dim, 2) <= caps.shared_bytes;
}

Prepared prepare_wide(const KernelRequest& request, const Context& context) {
  const AttentionParams p = params_of(request);
  const int stages = attention_wide_bytes(p.dim, 4) <= context.caps.shared_bytes ? 4 : 2;
  auto kernel = simple_kernel(context, 0, [p, stages](const Call& call) {
    return attention_wide(bound(p, call), stages, call.stream);
  });
  kernel->info.name = str("attention_wide_64x64_", dtype_name(p.dtype));
  return kernel;
}

constexpr TableRow kTable[] = {
    {OpKind::kAttention, "attention_8bit", accepts_8bit, prepare_8bit},
    {OpKind::kPackedAttention, "attention_8bit", accepts_8bit, prepare_8bit},
    {OpKind::kAttention, "attention_few_keys", accepts_few_keys, prepare_few_keys},
    {OpKind::kPackedAttention, "attention_few_keys", accepts_few_keys, prepare_few_keys},
    {OpKind::kAttention, "attention_wgmma", accepts_wgmma, prepare_wgmma},
    {OpKind::kPackedAttention, "attention_wgmma", accepts_wgmma, prepare_wgmma},
    {OpKind::kAttention, "attention_mma", accepts_mma, prepare_mma},
    {OpKind::kPackedAttention, "attention_mma", accepts_mma, prepare_mma},
    {OpKind::kAttention, "attention_wide", accepts_wide, prepare_wide},
    {OpKind::kPackedAttention, "attention_wide", accepts_wide, prepare_wide},
    {OpKind::kAttention, "attention", accepts_plain, prepare_plain},
    {OpKind::kPackedAttention, "attention", accepts_plain, prepare_plain},
};

}  // namespace

std::span<const TableRow> attention_table() { return kTable; }

}  // namespace zoetrope::cuda
