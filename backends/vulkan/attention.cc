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

// Too few groups to fill a GPU: keys are cut, too. Spans are multiples of `tile`.
void cut_keys(int64_t groups, int64_t keys, int64_t tile, Cut* cut) {
  constexpr int64_t kEnough = 256, kLeastKeys = 256, kMostParts = 16;
  cut->parts = std::clamp<int64_t>(std::min(kEnough / groups, keys / kLeastKeys), 1, kMostParts);
  cut->span = std::max<int64_t>(ceil_div(ceil_div(keys, cut->parts), tile) * tile, tile);
  cut->parts = std::max<int64_t>(ceil_div(keys, cut->span), 1);
}

// The shader's run over all its groups, and the one that combines if keys are cut.
KernelSpec attention_spec(const KernelRequest& request, const Cut& cut, Dispatch d) {
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

// CAUSAL, HAS_LENGTHS, HAS_MASK and IN_PARTS.
void add_forms(const KernelRequest& request, const Cut& cut, Dispatch* d) {
  d->constants.insert(d->constants.end(),
                      {attrs(request).get_bool("causal"), has(request, kKeyLengths),
                       has(request, kMask), cut.parts > 1});
}

Result<KernelSpec> prepare_attention(const KernelRequest& request, const Capabilities&) {
  const Shape &q = in(request, kQ).shape, &k = in(request, kK).shape;
  const int64_t dim = q[3], value_dim = in(request, kV).shape[3];
  if (out(request).shape.elements() == 0) return KernelSpec{.name = "attention"};

  constexpr int64_t kTile = 32, kMostChunks = 4;  // of a slice: its sums stay in registers
  Cut cut;
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

// How shaders/attention_coopmat.comp cuts a group's work; keys 0: not at all.
struct MatrixCut {
  int64_t keys = 0, subgroups = 0;

  static MatrixCut of(const KernelRequest& request, const Capabilities& caps) {
    const MatrixTile& t = caps.coop_f16;
    const int64_t dim = in(request, kQ).shape[3], value_dim = in(request, kV).shape[3];
    const int64_t subgroup = caps.subgroup_size;
    if (dim % 8 != 0 || value_dim % 8 != 0 || dim > 256 || value_dim > 256) return {};
    if (t.m == 0 || subgroup % t.m != 0 || t.n % 4 != 0 || t.k % 8 != 0) return {};
    const int64_t sharers = subgroup / t.m;  // of a row of scores
    const int64_t deep = ceil_div(dim, t.k) * t.k, across = ceil_div(value_dim, t.n) * t.n;
    for (const int64_t subgroups : {8, 4, 2}) {
      for (const int64_t keys : {32, 16}) {
        // As pool and kFactor in the shader.
        const int64_t units =
            keys * (deep / 8 + 1 + across / 8 + 1) + subgroups * t.m * (keys / 4 + 1);
        if (16 * units <= caps.shared_bytes && subgroups * subgroup <= caps.max_group_size &&
            keys % t.n == 0 && keys % t.k == 0 && keys % (8 * sharers) == 0 &&
            keys / 8 + 1 >= t.n / 4)
          return {keys, subgroups};
      }
    }
    return {};
  }
};

Result<KernelSpec> prepare_attention_coopmat(const KernelRequest& request,
                                             const Capabilities& caps) {
  const Shape &q = in(request, kQ).shape, &k = in(request, kK).shape;
  const int64_t value_dim = in(request, kV).shape[3];
  if (out(request).shape.elements() == 0) return KernelSpec{.name = "attention_coopmat"};
  const MatrixTile& t = caps.coop_f16;
  const MatrixCut matrix = MatrixCut::of(request, caps);
  Cut cut;
  cut.rows = q[1] * (q[2] / k[2]);
  cut.tile_rows = matrix.subgroups * t.m;
  cut.slice_columns = value_dim;
  cut_keys(q[0] * k[2] * cut.tiles(), k[1], matrix.keys, &cut);
  Dispatch d;
  d.shader = "attention_coopmat";
  d.constants = {u32(q[3]), u32(value_dim)};
  add_forms(request, cut, &d);
  d.constants.insert(d.constants.end(), {u32(matrix.keys), caps.subgroup_size,
                                         u32(matrix.subgroups), t.m, t.m, t.n, t.k});
  d.group_size = u32(matrix.subgroups) * caps.subgroup_size;
  return attention_spec(request, cut, std::move(d));
}

bool accepts_attention(const KernelRequest& request, const Capabilities&) {
  for (size_t i : {kQ, kK, kV})
    if (!is_compute_dtype(in(request, i).dtype)) return false;
  return !has(request, kMask) || is_compute_dtype(in(request, kMask).dtype);
}

bool accepts_attention_coopmat(const KernelRequest& request, const Capabilities& caps) {
  return caps.coop_f16 && in(request, kQ).dtype == DType::kF16 &&
         accepts_attention(request, caps) && MatrixCut::of(request, caps).keys > 0;
}

constexpr Row kRows[] = {
    {OpKind::kAttention, accepts_attention_coopmat, prepare_attention_coopmat},
    {OpKind::kAttention, accepts_attention, prepare_attention},
};

}  // namespace

std::span<const Row> attention_rows() { return kRows; }

}  // namespace zoetrope::vulkan
