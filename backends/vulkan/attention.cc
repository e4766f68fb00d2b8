// scaled_dot_product_attention.
#include "backends/vulkan/attention.h"

#include <algorithm>

namespace zoetrope::vulkan {
namespace {

std::vector<uint32_t> attention_params(const KernelRequest& request, const AttentionCut& cut) {
  const ops::AttentionShape s = ops::attention_shape(context_of(request), request.node->op);
  std::vector<uint32_t> params = {u32(s.queries),
                                  u32(s.keys),
                                  u32(s.heads),
                                  u32(s.kv_heads),
                                  u32(s.group()),
                                  u32(cut.rows),
                                  u32(cut.tiles()),
                                  u32(ceil_div(s.value_dim, cut.slice_columns)),
                                  u32(cut.span),
                                  u32(cut.parts),
                                  u32(s.batch * s.queries * s.heads),
                                  u32(s.value_dim),
                                  float_bits(s.scale)};
  for (size_t d = 0; d < 4; ++d) params.push_back(u32(s.mask[d]));
  return params;
}

Dispatch combine_parts(const KernelRequest& request, const AttentionCut& cut, int64_t parts_bytes,
                       int64_t sums_bytes) {
  Dispatch d;
  d.shader = "attention_combine";
  d.operands = {workspace(DType::kF32, 0, parts_bytes, false),
                workspace(DType::kF32, parts_bytes, sums_bytes, false), output(request)};
  d.params = attention_params(request, cut);
  d.groups = ceil_div(out(request).shape.elements(), d.group_size);
  d.flops = 4.0 * static_cast<double>(cut.parts * out(request).shape.elements());
  return d;
}

}  // namespace

void cut_keys(int64_t groups, int64_t keys, int64_t tile, AttentionCut* cut) {
  constexpr int64_t kEnough = 256, kLeastKeys = 256, kMostParts = 16;
  cut->parts = std::clamp<int64_t>(std::min(kEnough / groups, keys / kLeastKeys), 1, kMostParts);
  cut->span = std::max<int64_t>(ceil_div(ceil_div(keys, cut->parts), tile) * tile, tile);
  cut->parts = std::max<int64_t>(ceil_div(keys, cut->span), 1);
}

KernelSpec attention_spec(const KernelRequest& request, const AttentionCut& cut, Dispatch d) {
  const Shape &q = in(request, kQ).shape, &k = in(request, kK).shape;
  const int64_t dim = q[3], value_dim = in(request, kV).shape[3], rows = q[0] * q[1] * q[2];
  const int64_t slices = ceil_div(value_dim, cut.slice_columns);
  const int64_t parts_bytes = ceil_div(cut.parts * rows * value_dim * 4, 256) * 256;
  const int64_t sums_bytes = cut.parts * rows * 8;
  // Nothing without elements is bound.
  const auto operand = [&](size_t i) {
    const bool there = has(request, i) && in(request, i).shape.elements() > 0;
    return input(request, there ? i : kQ);
  };
  d.operands = {input(request, kQ), operand(kK), operand(kV), operand(kKeyLengths), operand(kMask)};
  if (cut.parts > 1) {
    d.operands.push_back(workspace(DType::kF32, 0, parts_bytes, true));
    d.operands.push_back(workspace(DType::kF32, parts_bytes, sums_bytes, true));
  } else {
    d.operands.insert(d.operands.end(), {output(request), output(request)});
  }
  d.params = attention_params(request, cut);
  d.groups = q[0] * k[2] * cut.tiles() * slices * cut.parts;
  d.flops = 2.0 * static_cast<double>(rows * k[1]) * static_cast<double>(dim * slices + value_dim) *
            (attrs(request).get_bool("causal") ? 0.5 : 1.0);
  KernelSpec spec{.name = d.shader, .dispatches = {d}};
  if (cut.parts > 1) {
    spec.workspace_bytes = parts_bytes + sums_bytes;
    spec.dispatches.push_back(combine_parts(request, cut, parts_bytes, sums_bytes));
  }
  return spec;
}

void add_forms(const KernelRequest& request, const AttentionCut& cut, Dispatch* d) {
  d->constants.insert(d->constants.end(),
                      {attrs(request).get_bool("causal"), has(request, kKeyLengths),
                       has(request, kMask), cut.parts > 1});
}

bool accepts_attention(const KernelRequest& request, const Capabilities&) {
  for (size_t i : {kQ, kK, kV})
    if (!is_compute_dtype(in(request, i).dtype)) return false;
  return !has(request, kMask) || is_compute_dtype(in(request, kMask).dtype);
}

namespace {

Result<KernelSpec> prepare_attention(const KernelRequest& request, const Capabilities&) {
  const Shape &q = in(request, kQ).shape, &k = in(request, kK).shape;
  const int64_t dim = q[3], value_dim = in(request, kV).shape[3];
  if (out(request).shape.elements() == 0) return KernelSpec{.name = "attention"};

  constexpr int64_t kTile = 32, kMostChunks = 4;  // of a slice: its sums stay in registers
  AttentionCut cut;
  cut.rows = q[1] * (q[2] / k[2]);
  const int64_t chunks = ceil_div(value_dim, kTile);
  cut.slice_columns = ceil_div(chunks, ceil_div(chunks, kMostChunks)) * kTile;
  const int64_t slices = ceil_div(value_dim, cut.slice_columns);
  cut_keys(q[0] * k[2] * cut.tiles() * slices, k[1], kTile, &cut);
  Dispatch d;
  d.shader = "attention";
  d.constants = {dim % 4 == 0 && value_dim % 4 == 0, u32(dim), u32(cut.slice_columns / kTile)};
  add_forms(request, cut, &d);
  return attention_spec(request, cut, std::move(d));
}

constexpr TableRow kTable[] = {
    {OpKind::kAttention, accepts_attention_coopmat, prepare_attention_coopmat},
    {OpKind::kAttention, accepts_attention, prepare_attention},
};

}  // namespace

std::span<const TableRow> attention_table() { return kTable; }

}  // namespace zoetrope::vulkan
