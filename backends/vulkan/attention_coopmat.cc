// f16 and bf16 attention on cooperative matrices.
#include <algorithm>
#include <array>
#include <iterator>
#include <span>

#include "backends/vulkan/attention.h"
#include "backends/vulkan/fixed.h"

namespace zoetrope::vulkan {
namespace {

// What a group treats at a time. With subgroups: attention_coopmat, rows in matrices of each
// subgroup, and if `reduced` one that is reduced where it is (attention_coopmat2_rows). Without:
// one matrix for all (attention_coopmat2).
struct Tile {
  int64_t keys, rows, subgroups = 0;  // rows of a subgroup, in matrices; of the group without
  bool reduced = false;
  bool packed = false;  // keys and values are put in order first (attention_coopmat2_packed)

  bool whole() const { return subgroups == 0; }
  int64_t group_rows(const MatrixTile& t) const { return whole() ? rows : subgroups * rows * t.m; }
  // Matrices of a whole group, unless the device has them for subgroups alone.
  int64_t group_size(const Capabilities& caps) const {
    if (!whole()) return subgroups * caps.subgroup_size;
    return caps.coopmat2 ? 2 * rows : caps.subgroup_size;
  }
};

// The first that fits is taken; those behind the sixth only by number or, if reduced, where they
// were built for their sizes.
constexpr Tile kTiles[] = {
    {32, 1, 8},
    {32, 1, 4},
    {32, 1, 2},
    {16, 1, 8},
    {16, 1, 4},
    {16, 1, 2},
    {32, 2, 4},
    {64, 1, 4},
    {64, 1, 8},
    {64, 128},
    {64, 64},
    {32, 64},
    {8, 8},
    {64, 1, 8, true},
    {64, 1, 4, true},
    {32, 1, 8, true},
    {32, 1, 4, true},
    {16, 1, 2, true},
    {64, 1, 8, true, true},
    {64, 1, 12, true, true},
    {16, 1, 2, true, true},
};
constexpr size_t kChosen = 6;

const MatrixTile& matrix_of(const KernelRequest& request, const Capabilities& caps) {
  return caps.matrices_of(in(request, kQ).dtype);
}

struct Heads {
  int64_t dim, value_dim, grouped;
  bool bf16, positive;  // the scale

  static Heads of(const KernelRequest& request) {
    const ops::AttentionShape s = ops::attention_shape(context_of(request), request.node->op);
    return {s.dim, s.value_dim, s.group(), in(request, kQ).dtype == DType::kBF16, s.scale > 0};
  }
};

// As pool in the shader.
bool fits_reduced(const Tile& tile, const Heads& heads, const MatrixTile& t,
                  const Capabilities& caps) {
  const auto divides = [](int64_t whole, int64_t part) { return whole % part == 0; };
  const int64_t widest = ceil_div(std::max(heads.dim, heads.value_dim), t.n) * t.n;
  // Packed ones are padded to whole matrices.
  const int64_t step = tile.packed ? 8 : 2 * t.n;
  const int64_t stage = tile.keys * (heads.dim / 8 + 1 + heads.value_dim / 8 + 1);
  const int64_t units = std::max(tile.packed ? 0 : stage, tile.subgroups * t.m * (widest / 8 + 1));
  if (tile.packed && !caps.packs(t)) return false;
  return caps.coopmat2_rows && heads.positive && t.n == t.k && divides(t.n, 8) &&
         divides(heads.dim, step) && divides(heads.value_dim, step) && widest >= 2 * t.n &&
         widest <= 128 && divides(tile.keys, t.n) && 16 * units <= caps.shared_bytes;
}

bool fits(const Tile& tile, const Heads& heads, const MatrixTile& t, const Capabilities& caps) {
  const auto divides = [](int64_t whole, int64_t part) { return whole % part == 0; };
  if (tile.group_size(caps) > caps.max_group_size) return false;
  if (tile.whole()) {
    // Mesa's driver: eight rows in a subgroup, and not wider.
    const bool suits = caps.coopmat2 ? tile.rows > 8 : tile.rows == 8;
    const int64_t widest = caps.coopmat2 ? 256 : 128;
    return caps.coopmat2_rows && suits && !heads.bf16 && heads.grouped == 1 &&
           divides(heads.dim, 32) && divides(heads.value_dim, 32) &&
           std::max(heads.dim, heads.value_dim) <= widest;
  }
  if (tile.reduced) return fits_reduced(tile, heads, t, caps);
  const int64_t subgroup = caps.subgroup_size, rows = tile.rows * t.m;
  if (!divides(heads.dim, 8) || !divides(heads.value_dim, 8) || heads.dim > 256 ||
      heads.value_dim > 256 || !divides(t.n, 4) || !divides(t.k, 8) ||
      !(rows > subgroup ? divides(rows, subgroup) : divides(subgroup, rows)))
    return false;
  const int64_t sharers = rows > subgroup ? 1 : subgroup / rows;  // of a row of scores
  const int64_t deep = ceil_div(heads.dim, t.k) * t.k;
  const int64_t across = ceil_div(heads.value_dim, t.n) * t.n;
  // As pool and kFactor in the shader.
  const int64_t units =
      tile.keys * (deep / 8 + 1 + across / 8 + 1) + tile.subgroups * rows * (tile.keys / 4 + 1);
  return 16 * units <= caps.shared_bytes && divides(tile.keys, t.n) && divides(tile.keys, t.k) &&
         divides(tile.keys, 8 * sharers) && tile.keys / 8 + 1 >= t.n / 4;
}

FixedShader shader_of(const Tile& tile, const Heads& heads, const MatrixTile& t,
                      const Capabilities& caps) {
  if (tile.reduced)
    return fixed_shader(tile.packed ? "attention_coopmat2_packed" : "attention_coopmat2_rows",
                        {heads.dim, heads.value_dim, tile.keys, tile.subgroups}, t, caps);
  return {!tile.whole()   ? "attention_coopmat"
          : caps.coopmat2 ? "attention_coopmat2"
                          : "attention_coopmat2_subgroup"};
}

const Tile* choose(const KernelRequest& request, const Capabilities& caps) {
  const Heads heads = Heads::of(request);
  const MatrixTile& t = matrix_of(request, caps);
  const auto asked = static_cast<size_t>(caps.tile - 1);
  if (asked < std::size(kTiles) && fits(kTiles[asked], heads, t, caps)) return &kTiles[asked];
  // On an H100 four times the rate of the others, and with packed keys five times, if built for its
  // sizes. Packing pays from so many rows and keys on.
  constexpr int64_t kMany = 1024;
  const bool many =
      in(request, kQ).shape[1] * heads.grouped >= kMany && in(request, kK).shape[1] >= kMany;
  for (const Tile& tile : kTiles)
    if (many && tile.packed && fits(tile, heads, t, caps) &&
        shader_of(tile, heads, t, caps).is_fixed)
      return &tile;
  for (const Tile& tile : kTiles)
    if (tile.reduced && !tile.packed && fits(tile, heads, t, caps) &&
        shader_of(tile, heads, t, caps).is_fixed)
      return &tile;
  for (const Tile& tile : std::span(kTiles).first(kChosen))
    if (fits(tile, heads, t, caps)) return &tile;
  return nullptr;
}

// Keys (0) or values (1) in the order of matrices, into `to` of the workspace.
Dispatch pack(const KernelRequest& request, size_t which, const Operand& to, int64_t tiles,
              const MatrixTile& t, const Capabilities& caps) {
  constexpr uint32_t kSubgroups = 4;
  const Shape& k = in(request, which == 0 ? kK : kV).shape;
  const bool has_lengths = has(request, kKeyLengths);
  const int64_t all = k[0] * k[2] * tiles;
  Dispatch d;
  d.shader = on_matrices_of(in(request, kQ).dtype, "pack_keys_coopmat");
  d.operands = {input(request, which == 0 ? kK : kV),
                input(request, has_lengths ? kKeyLengths : kQ), to};
  d.constants = {u32(k[3]), which == 1, has_lengths, kSubgroups, t.n};
  d.params = {u32(k[1]), u32(k[2]), u32(tiles), u32(all)};
  d.group_size = kSubgroups * caps.subgroup_size;
  d.groups = ceil_div(all, kSubgroups);
  d.flops = 4 * static_cast<double>(all * t.n * k[3]);
  return d;
}

// Packed keys and values come first in the workspace, before what the rest of the kernel has there.
void pack_keys(const KernelRequest& request, const Tile& tile, const MatrixTile& t,
               const Capabilities& caps, KernelSpec* spec) {
  const DType dtype = in(request, kQ).dtype;
  const Shape& k = in(request, kK).shape;
  const int64_t tiles = ceil_div(k[1], tile.keys) * tile.keys / t.n;
  const auto padded = [&](int64_t dim) { return ceil_div(dim, t.n) * t.n; };
  const std::array<int64_t, 2> dims{padded(k[3]), padded(in(request, kV).shape[3])};
  std::array<int64_t, 2> bytes{};
  for (size_t i : {0, 1}) bytes[i] = ceil_div(k[0] * k[2] * tiles * t.n * dims[i] * 2, 256) * 256;
  for (Dispatch& d : spec->dispatches)
    for (Operand& operand : d.operands)
      if (operand.kind == Operand::kWorkspace) operand.offset += bytes[0] + bytes[1];
  spec->workspace_bytes += bytes[0] + bytes[1];
  for (size_t i : {0, 1}) {
    const int64_t at = i == 0 ? 0 : bytes[0];
    spec->dispatches[i].operands[1 + i] = workspace(dtype, at, bytes[i], false);
    spec->dispatches.insert(spec->dispatches.begin(),
                            pack(request, i, workspace(dtype, at, bytes[i], true), tiles, t, caps));
  }
}

}  // namespace

bool accepts_attention_coopmat(const KernelRequest& request, const Capabilities& caps) {
  return in(request, kQ).dtype != DType::kF32 && matrix_of(request, caps) &&
         accepts_attention(request, caps) && choose(request, caps) != nullptr;
}

Result<KernelSpec> prepare_attention_coopmat(const KernelRequest& request,
                                             const Capabilities& caps) {
  const Shape &q = in(request, kQ).shape, &k = in(request, kK).shape;
  const Tile& tile = *choose(request, caps);
  const Heads heads = Heads::of(request);
  const MatrixTile& t = matrix_of(request, caps);
  Dispatch d;
  const FixedShader shader = shader_of(tile, heads, t, caps);
  d.shader = on_matrices_of(in(request, kQ).dtype, shader.name);
  if (out(request).shape.elements() == 0) return KernelSpec{.name = d.shader};
  AttentionCut cut;
  cut.rows = q[1] * heads.grouped;
  cut.tile_rows = tile.group_rows(t);
  cut.slice_columns = heads.value_dim;
  cut_keys(q[0] * k[2] * cut.tiles(), k[1], tile.keys, &cut);
  d.constants = {u32(heads.dim), u32(heads.value_dim)};
  add_forms(request, cut, &d);
  if (tile.whole())
    d.constants.insert(d.constants.end(), {u32(tile.rows), u32(tile.keys)});
  else
    d.constants.insert(d.constants.end(), {u32(tile.keys), caps.subgroup_size, u32(tile.subgroups),
                                           u32(tile.rows) * t.m, t.m, t.n, t.k});
  d.group_size = u32(tile.group_size(caps));
  d.on_matrices = true;
  KernelSpec spec = attention_spec(request, cut, std::move(d));
  if (tile.packed) pack_keys(request, tile, t, caps, &spec);
  if (!shader.is_fixed) spec.name += str("_", cut.tile_rows, "x", tile.keys);
  return spec;
}

}  // namespace zoetrope::vulkan
