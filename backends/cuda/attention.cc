// Attention: on Hopper's tensor cores, on those of sm_80 and later, or on FMA units.
#include "backends/cuda/kernels/attention.h"

#include <algorithm>
#include <cmath>

#include "backends/cuda/kernels/attention_wgmma.h"
#include "backends/cuda/tensor_map.h"
#include "backends/cuda/walk.h"

namespace zoetrope::cuda {
namespace {

enum Input : size_t { kQ, kK, kV, kKeyLengths, kMask };

// Rows of `columns` a token, of which the tensor begins at `offset`.
AttentionTensor tensor_of(const Shape& shape, int64_t columns, int64_t offset = 0) {
  return {nullptr, shape[1] * columns, columns, offset};
}

AttentionParams params_of(const KernelRequest& request) {
  const Shape &q = in(request, kQ).shape, &k = in(request, kK).shape, &v = in(request, kV).shape;
  const auto number = [&](const char* name) { return attrs(request).get_int(name); };
  AttentionParams p;
  if (request.node->op == OpKind::kPackedAttention) {
    p.q = tensor_of(q, q[2], number("q_offset"));
    p.k = tensor_of(k, k[2], number("k_offset"));
    p.v = tensor_of(v, v[2], number("v_offset"));
    p.heads = static_cast<int>(number("heads"));
    p.kv_heads = static_cast<int>(number("kv_heads"));
    p.dim = static_cast<int>(number("dim"));
    p.v_dim = static_cast<int>(number("v_dim"));
  } else {
    p.q = tensor_of(q, q[2] * q[3]);
    p.k = tensor_of(k, k[2] * k[3]);
    p.v = tensor_of(v, v[2] * v[3]);
    p.heads = static_cast<int>(q[2]);
    p.kv_heads = static_cast<int>(k[2]);
    p.dim = static_cast<int>(q[3]);
    p.v_dim = static_cast<int>(v[3]);
  }
  p.dtype = in(request, kQ).dtype;
  p.batch = q[0];
  p.queries = q[1];
  p.keys = k[1];
  const double scale = attrs(request).get_float("scale");
  p.scale = static_cast<float>(scale != 0 ? scale : 1 / std::sqrt(static_cast<double>(p.dim)));
  p.causal = attrs(request).get_bool("causal");
  p.mask = side(request, kMask);
  if (has(request, kMask)) {
    const Shape full{q[0], p.heads, q[1], k[1]};
    const ops::Strides steps = ops::broadcast_strides(in(request, kMask).shape, full);
    for (size_t d = 0; d < 4; ++d) p.mask_steps[d] = steps[d];
  }
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
    padded_ = p.dim <= 64 ? 64 : 128;
    tile_ = padded_ == 128 && p.keys > 1024 ? 176 : 128;
    info.name = str("attention_wgmma_", kAttentionRows, "x", tile_, "_", dtype_name(p.dtype));
  }

  Status launch(const Call& call) const override {
    AttentionWgmmaParams a;
    a.p = bound(params_, call);
    a.padded = padded_;
    a.tile = tile_;
    const AttentionParams& p = a.p;
    if (p.keys == 0 || p.batch * p.queries == 0)
      return check(attention_plain(p, call.stream), "launching");
    ZT_RETURN_IF_ERROR(map_of(p.q, p, p.heads, p.queries, kAttentionRows, &a.q));
    ZT_RETURN_IF_ERROR(map_of(p.k, p, p.kv_heads, p.keys, tile_, &a.k));
    ZT_RETURN_IF_ERROR(map_of(p.v, p, p.kv_heads, p.keys, tile_, &a.v));
    return check(attention_wgmma(a, call.stream), "launching");
  }

 private:
  AttentionParams params_;
  int padded_ = 128, tile_ = 128;
};

Prepared prepare_wgmma(const KernelRequest& request, const Context& context) {
  return std::unique_ptr<CudaKernel>(new WgmmaKernel(context, params_of(request)));
}

// The copy engine counts in 32 bits and steps by 16 bytes.
bool accepts_wgmma(const KernelRequest& request, const Capabilities& caps) {
  if (!caps.wgmma() || !accepts_plain(request, caps) || has(request, kMask)) return false;
  const AttentionParams p = params_of(request);
  for (const AttentionTensor* t : {&p.q, &p.k, &p.v})
    if (t->token_step % 8 != 0 || t->offset % 8 != 0) return false;
  return p.dtype != DType::kF32 && p.dim == p.v_dim && p.dim <= 128 && p.dim % 8 == 0 &&
         p.scale > 0 && std::max(p.queries, p.keys) < int64_t{1} << 30;
}

constexpr Row kRows[] = {
    {OpKind::kAttention, "attention_wgmma", accepts_wgmma, prepare_wgmma},
    {OpKind::kPackedAttention, "attention_wgmma", accepts_wgmma, prepare_wgmma},
    {OpKind::kAttention, "attention", accepts_plain, prepare_plain},
    {OpKind::kPackedAttention, "attention", accepts_plain, prepare_plain},
};

}  // namespace

std::span<const Row> attention_rows() { return kRows; }

}  // namespace zoetrope::cuda
