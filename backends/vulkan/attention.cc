// scaled_dot_product_attention.
#include <algorithm>
#include <cmath>

#include "backends/vulkan/kernel.h"
#include "graph/ops/common.h"

namespace zoetrope::vulkan {
namespace {

enum Input : size_t { kQ, kK, kV, kKeyLengths, kMask };

// How the work is cut: shaders/attention.glsl.
struct Cut {
  int64_t rows = 0;            // of one sample and key head
  int64_t tile_rows = 32;      // of a group
  int64_t slice_columns = 32;  // of v, a group
  int64_t span = 0, parts = 1;

  int64_t tiles() const { return ceil_div(rows, tile_rows); }
};

std::vector<uint32_t> attention_params(const KernelRequest& request, const Cut& cut) {
  const Shape &q = in(request, kQ).shape, &k = in(request, kK).shape;
  const int64_t value_dim = in(request, kV).shape[3];
  double scale = attrs(request).get_float("scale");
  if (scale == 0) scale = 1 / std::sqrt(static_cast<double>(q[3]));
  std::vector<uint32_t> params = {u32(q[1]),
                                  u32(k[1]),
                                  u32(q[2]),
                                  u32(k[2]),
                                  u32(q[2] / k[2]),
                                  u32(cut.rows),
                                  u32(cut.tiles()),
                                  u32(ceil_div(value_dim, cut.slice_columns)),
                                  u32(cut.span),
                                  u32(cut.parts),
                                  u32(q[0] * q[1] * q[2]),
                                  u32(value_dim),
                                  float_bits(scale)};
  ops::Strides mask{};
  if (has(request, kMask))
    mask = ops::broadcast_strides(in(request, kMask).shape, Shape{q[0], q[2], q[1], k[1]});
  for (size_t d = 0; d < 4; ++d) params.push_back(u32(mask[d]));
  return params;
}

Dispatch combine_parts(const KernelRequest& request, const Cut& cut, int64_t parts_bytes,
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

Result<KernelSpec> prepare_attention(const KernelRequest& request, const Capabilities&) {
  const Shape &q = in(request, kQ).shape, &k = in(request, kK).shape;
  const int64_t dim = q[3], value_dim = in(request, kV).shape[3], keys = k[1];
  const bool causal = attrs(request).get_bool("causal");
  if (out(request).shape.elements() == 0) return KernelSpec{.name = "attention"};

  constexpr int64_t kTile = 32, kMostChunks = 4;  // of a slice: its sums stay in registers
  Cut cut;
  cut.rows = q[1] * (q[2] / k[2]);
  const int64_t chunks = ceil_div(value_dim, kTile), slices = ceil_div(chunks, kMostChunks);
  cut.slice_columns = ceil_div(chunks, slices) * kTile;
  int64_t groups = q[0] * k[2] * cut.tiles() * ceil_div(value_dim, cut.slice_columns);
  // Too few groups to fill a GPU: keys are cut, too.
  constexpr int64_t kEnough = 256, kLeastKeys = 256, kMostParts = 16;
  cut.parts = std::clamp<int64_t>(std::min(kEnough / groups, keys / kLeastKeys), 1, kMostParts);
  cut.span = std::max<int64_t>(ceil_div(ceil_div(keys, cut.parts), kTile) * kTile, kTile);
  cut.parts = std::max<int64_t>(ceil_div(keys, cut.span), 1);
  groups *= cut.parts;

  const bool parted = cut.parts > 1;
  const int64_t rows = q[0] * q[1] * q[2];
  const int64_t parts_bytes = ceil_div(cut.parts * rows * value_dim * 4, 256) * 256;
  const int64_t sums_bytes = cut.parts * rows * 8;
  const bool lengths = has(request, kKeyLengths), mask = has(request, kMask);
  Dispatch d;
  d.shader = "attention";
  const auto operand = [&](size_t i, bool there) { return input(request, there ? i : kQ); };
  d.operands = {input(request, kQ), operand(kK, keys > 0), operand(kV, keys > 0),
                operand(kKeyLengths, lengths), operand(kMask, mask && keys > 0)};
  if (parted) {
    d.operands.push_back(workspace(DType::kF32, 0, parts_bytes, true));
    d.operands.push_back(workspace(DType::kF32, parts_bytes, sums_bytes, true));
  } else {
    d.operands.insert(d.operands.end(), {output(request), output(request)});
  }
  d.constants = {dim % 4 == 0 && value_dim % 4 == 0,
                 u32(dim),
                 u32(cut.slice_columns / kTile),
                 causal,
                 lengths,
                 mask,
                 parted};
  d.params = attention_params(request, cut);
  d.groups = groups;
  d.flops = 2.0 * static_cast<double>(rows * keys) *
            static_cast<double>(dim * ceil_div(value_dim, cut.slice_columns) + value_dim) *
            (causal ? 0.5 : 1.0);
  KernelSpec spec{.name = "attention", .dispatches = {d}};
  if (parted) {
    spec.workspace_bytes = parts_bytes + sums_bytes;
    spec.dispatches.push_back(combine_parts(request, cut, parts_bytes, sums_bytes));
  }
  return spec;
}

bool accepts_attention(const KernelRequest& request, const Capabilities&) {
  for (size_t i : {kQ, kK, kV})
    if (!is_compute_dtype(in(request, i).dtype)) return false;
  return !has(request, kMask) || is_compute_dtype(in(request, kMask).dtype);
}

constexpr Row kRows[] = {
    {OpKind::kAttention, accepts_attention, prepare_attention},
};

}  // namespace

std::span<const Row> attention_rows() { return kRows; }

}  // namespace zoetrope::vulkan
