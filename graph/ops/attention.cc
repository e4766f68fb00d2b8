// scaled_dot_product_attention: softmax(scale · q kᵀ + mask) v for every head (arXiv 1706.03762,
// eq. 1; torch.nn.functional.scaled_dot_product_attention with heads after tokens).
//   q [B, N, H, D], k [B, M, Hkv, D], v [B, M, Hkv, E] → [B, N, H, E]; query head h reads key head
//   h / (H / Hkv).
//   key_lengths i32 [B]: keys at and beyond it are not seen. mask: added to the scores, broadcast
//   to [B, H, N, M]. causal: query i sees key j ≤ i + M − N (the queries are the last N of M
//   positions; PyTorch's is_causal where N = M). A query that sees no key gives zeros.
//   bits: 0, or 8, which allows products of 8-bit numbers: q, k, v and the probabilities may be
//   rounded to i8 or f8e4m3, with a factor for each row of q and for every 128 keys of k and v, or
//   more factors, after one vector was taken off all keys of a head (softmax does not see it) and
//   another off all values (SageAttention2, arXiv 2411.10958). Exact products answer it, too.
#include "graph/ops/attention.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "graph/ops/contraction.h"

namespace zoetrope {
namespace ops {
namespace {

Status check_mask(const OpContext& c) {
  if (!c.has(kMask)) return Status();
  ZT_RETURN_IF_ERROR(require_rank(c, kMask, "mask", 0, 4));
  const Shape &q = c.input(kQ).shape, &k = c.input(kK).shape;
  return require_broadcastable_or_absent(c, kMask, "mask", Shape{q[0], q[2], q[1], k[1]});
}

Result<Types> infer_attention(const OpContext& c) {
  ZT_RETURN_IF_ERROR(require_inputs(c, 3));
  constexpr std::string_view kNames[] = {"q", "k", "v"};
  for (size_t i = 0; i < 3; ++i) {
    ZT_RETURN_IF_ERROR(require_float(c, i, kNames[i]));
    ZT_RETURN_IF_ERROR(require_same_dtype(c, i, kNames[i], c.input(kQ).dtype));
    ZT_RETURN_IF_ERROR(require_rank(c, i, kNames[i], 4, 4));
  }
  const Shape &q = c.input(kQ).shape, &k = c.input(kK).shape, &v = c.input(kV).shape;
  if (q[3] < 1 || k[2] < 1 || q[2] % k[2] != 0)
    return error(Code::kInvalidArgument, "the heads of q ", c.input(kQ).to_string(),
                 " must be a multiple of those of k ", c.input(kK).to_string());
  ZT_RETURN_IF_ERROR(require_shape(c, kK, "k", Shape{q[0], k[1], k[2], q[3]}));
  ZT_RETURN_IF_ERROR(require_shape(c, kV, "v", Shape{q[0], k[1], k[2], v[3]}));
  if (c.has(kKeyLengths)) {
    ZT_RETURN_IF_ERROR(require_same_dtype(c, kKeyLengths, "key_lengths", DType::kI32));
    ZT_RETURN_IF_ERROR(require_shape(c, kKeyLengths, "key_lengths", Shape{q[0]}));
  }
  ZT_RETURN_IF_ERROR(check_mask(c));
  const double scale = c.attrs.get_float("scale");
  if (!std::isfinite(scale))
    return error(Code::kInvalidArgument, "scale must be finite; found ", scale);
  const int64_t bits = c.attrs.get_int("bits");
  if (bits != 0 && bits != 8)
    return error(Code::kInvalidArgument, "bits must be 0 (as the dtype says) or 8; found ", bits);
  return one_output(c.input(kQ).dtype, Shape{q[0], q[1], q[2], v[3]});
}

}  // namespace

AttentionShape attention_shape(const OpContext& c, OpKind op) {
  const Shape &q = c.input(kQ).shape, &k = c.input(kK).shape, &v = c.input(kV).shape;
  AttentionShape s{.batch = q[0], .queries = q[1], .keys = k[1]};
  if (op == OpKind::kPackedAttention) {
    s.heads = c.attrs.get_int("heads"), s.kv_heads = c.attrs.get_int("kv_heads");
    s.dim = c.attrs.get_int("dim"), s.value_dim = c.attrs.get_int("v_dim");
    s.q = {q[2], c.attrs.get_int("q_offset")};
    s.k = {k[2], c.attrs.get_int("k_offset")};
    s.v = {v[2], c.attrs.get_int("v_offset")};
  } else {
    s.heads = q[2], s.kv_heads = k[2], s.dim = q[3], s.value_dim = v[3];
    s.q = {q[2] * q[3]}, s.k = {k[2] * k[3]}, s.v = {v[2] * v[3]};
  }
  const double scale = c.attrs.get_float("scale");
  s.scale = scale != 0 ? scale : 1 / std::sqrt(static_cast<double>(s.dim));
  s.causal = c.attrs.get_bool("causal");
  s.bits = c.attrs.get_int("bits");
  if (c.has(kMask))
    s.mask = broadcast_strides(c.input(kMask).shape, Shape{s.batch, s.heads, s.queries, s.keys});
  return s;
}

namespace {

bool present(RefInputs in, size_t i) { return i < in.size() && in[i] != nullptr; }

// scores[0, keys) → probabilities; all zero where nothing is seen.
void softmax_row(std::vector<double>& scores, int64_t keys) {
  double most = -std::numeric_limits<double>::infinity(), sum = 0;
  for (int64_t j = 0; j < keys; ++j) most = std::max(most, scores[idx(j)]);
  for (int64_t j = 0; j < keys; ++j) {
    double& s = scores[idx(j)];
    s = std::isinf(most) && most < 0 ? 0 : std::exp(s - most);
    sum += s;
  }
  if (sum != 0)
    for (int64_t j = 0; j < keys; ++j) scores[idx(j)] /= sum;
}

void reference_attention(const OpContext& c, RefInputs in, std::span<const TensorType>,
                         RefOutputs out) {
  const AttentionShape s = attention_shape(c, OpKind::kAttention);
  const int64_t n = s.queries, heads = s.heads, d = s.dim, m = s.keys, kv = s.kv_heads,
                e = s.value_dim;
  std::fill(out[0].begin(), out[0].end(), 0.0);
  std::vector<double> keys_t(idx(d * m)), scores(idx(m));
  for (int64_t b = 0; b < s.batch; ++b) {
    int64_t length = m;
    if (present(in, kKeyLengths))
      length = std::clamp<int64_t>(static_cast<int64_t>(in[kKeyLengths]->data[idx(b)]), 0, m);
    for (int64_t h = 0; h < heads; ++h) {
      const int64_t hk = h / s.group();
      transpose_to(m, d, in[kK]->data.data() + (b * m * kv + hk) * d, kv * d, keys_t.data());
      for (int64_t i = 0; i < n; ++i) {
        const int64_t keys = s.causal ? std::clamp<int64_t>(i + m - n + 1, 0, length) : length;
        std::fill(scores.begin(), scores.end(), 0.0);
        const double* query = in[kQ]->data.data() + ((b * n + i) * heads + h) * d;
        for (int64_t p = 0; p < d; ++p)
          axpy(keys, s.scale * query[p], keys_t.data() + p * m, scores.data());
        if (present(in, kMask)) {
          const int64_t row = b * s.mask[0] + h * s.mask[1] + i * s.mask[2];
          for (int64_t j = 0; j < keys; ++j)
            scores[idx(j)] += in[kMask]->data[idx(row + j * s.mask[3])];
        }
        softmax_row(scores, keys);
        for (int64_t j = 0; j < keys; ++j)
          axpy(e, scores[idx(j)], in[kV]->data.data() + ((b * m + j) * kv + hk) * e,
               out[0].data() + ((b * n + i) * heads + h) * e);
      }
    }
  }
}

// Two matmuls and the softmax; causal attention skips about half when N = M.
double flops_attention(const OpContext& c, std::span<const TensorType>) {
  const Shape &q = c.input(kQ).shape, &v = c.input(kV).shape;
  const double pairs = static_cast<double>(q[0] * q[2]) * static_cast<double>(q[1]) *
                       static_cast<double>(v[1]) * (c.attrs.get_bool("causal") ? 0.5 : 1.0);
  return pairs * (2.0 * static_cast<double>(q[3]) + 2.0 * static_cast<double>(v[3]));
}

}  // namespace
}  // namespace ops

// Inputs: q, k, v, [key_lengths], [mask]. scale 0 means 1/√D. Softmax in f32 whatever the dtype.
const OpDef& attention_op() {
  static const OpDef def{
      .kind = OpKind::kAttention,
      .name = "scaled_dot_product_attention",
      .attrs = {{"scale", AttrType::kFloat, false, 0.0},
                {"causal", AttrType::kBool, false, false},
                {"bits", AttrType::kInt, false, Dim(0)}},
      .min_inputs = 3,
      .max_inputs = 5,
      .infer = ops::infer_attention,
      .flops = ops::flops_attention,
      .reference = ops::reference_attention,
      .tolerance = {5e-6, 1e-5},
  };
  return def;
}

}  // namespace zoetrope
