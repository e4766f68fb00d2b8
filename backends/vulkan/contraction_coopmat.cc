// f16 and bf16 contractions on cooperative matrices.
#include <algorithm>
#include <span>

#include "backends/vulkan/contraction.h"
#include "backends/vulkan/fixed.h"

namespace zoetrope::vulkan {
namespace {

// What a group and each of its subgroups make, and how deep a stage is. Without wm the group has
// one matrix for all its invocations (matmul_coopmat2).
struct Tile {
  int64_t bm, bn, bk, wm = 0, wn = 0;
  int64_t stages = 2, invocations = 256;  // stages in shared memory; invocations without wm

  bool whole() const { return wm == 0; }
  int64_t subgroups() const { return bm / wm * (bn / wn); }
  int64_t group_size(const Capabilities& caps) const {
    return whole() ? invocations : subgroups() * caps.subgroup_size;
  }
  int64_t groups(const Contraction& c) const {
    return ceil_div(c.m, bm) * ceil_div(c.n, bn) * c.products();
  }
  // As kPool and rows in shaders/matmul_coopmat.comp.
  int64_t shared_bytes(const Contraction& c, const MatrixTile& t) const {
    const int64_t a = bm * (bk / 8 + 1);
    const int64_t b = c.transpose_b ? bn * (bk / 8 + 1) : bk * (bn / 8 + 1);
    return 16 * (std::max(stages * (a + b), subgroups() * t.m * (wn / 4 + 1)) + bm);
  }
};

// From the one that reads least from memory to the one that occupies a large device with little;
// one for emulators, which take a minute to compile what a large tile unrolls to; then those that
// are only taken by number. 64x64 a subgroup is what keeps shared memory ahead of matrix units.
constexpr Tile kTiles[] = {
    {128, 128, 32, 64, 64},
    {128, 64, 32, 64, 32},
    {64, 64, 32, 32, 32},
    {32, 32, 32, 16, 16},
    {32, 32, 16, 16, 16},
    {256, 128, 16, 64, 64},
    {128, 128, 32, 64, 32},
    {.bm = 128, .bn = 256, .bk = 64},
    {.bm = 256, .bn = 128, .bk = 32},
    {.bm = 128, .bn = 128, .bk = 64},
    {.bm = 64, .bn = 64, .bk = 64},
    {.bm = 128, .bn = 256, .bk = 32},
    {.bm = 256, .bn = 128, .bk = 64},
    {.bm = 256, .bn = 256, .bk = 32, .invocations = 512},
    {.bm = 128, .bn = 128, .bk = 64, .invocations = 128},
    {.bm = 128, .bn = 128, .bk = 32},
    {256, 128, 32, 64, 64, 1},
    {128, 256, 32, 64, 64, 1},
    {128, 128, 64, 64, 32, 1},
    {128, 128, 64, 64, 64, 1},
    {32, 32, 16, 16, 16, 1},
    {128, 128, 32, 64, 64, 1},
    {64, 64, 64, 32, 32, 1},
};
constexpr size_t kBySize = 4;  // of them are chosen by size

bool fits(const Tile& tile, const Contraction& c, const MatrixTile& t, const Capabilities& caps) {
  const auto divides = [](int64_t whole, int64_t part) { return whole % part == 0; };
  const int64_t group = tile.group_size(caps);
  if (group > caps.max_group_size) return false;
  if (tile.whole())
    return caps.coopmat2 && c.mode == Contraction::kMatmul && divides(c.k, 8) && divides(c.n, 8);
  const int64_t across_b = (c.transpose_b ? tile.bk : tile.bn) / 8;
  return tile.shared_bytes(c, t) <= caps.shared_bytes && divides(tile.wm, t.m) &&
         divides(tile.wn, t.n) && divides(tile.bk, t.k) && divides(t.n, 4) && divides(t.k, 8) &&
         divides(group, tile.bk / 8) && divides(group, across_b) &&
         divides(tile.bm * tile.bk / 8, group) && divides(tile.bn * tile.bk / 8, group);
}

FixedShader shader_of(const Tile& tile, const Contraction& c, const MatrixTile& t,
                      const Capabilities& caps) {
  if (tile.whole()) return {"matmul_coopmat2"};
  if (!c.transpose_b || !c.vector_a(8) || !c.vector_b(8)) return {"matmul_coopmat"};
  return fixed_shader("matmul_coopmat", {tile.bm, tile.bn, tile.bk, tile.wm, tile.wn, tile.stages},
                      t, caps);
}

// The largest tile that still gives every processor of a large device a group.
const Tile* choose(const Contraction& c, const MatrixTile& t, const Capabilities& caps) {
  const auto asked = static_cast<size_t>(caps.tile - 1);
  if (asked < std::size(kTiles) && fits(kTiles[asked], c, t, caps)) return &kTiles[asked];
  if (caps.software) return fits(kTiles[kBySize], c, t, caps) ? &kTiles[kBySize] : nullptr;
  // Those built for their sizes are fastest on an H100, then matrices of a whole group.
  for (const Tile& tile : kTiles)
    if (fits(tile, c, t, caps) && tile.groups(c) >= 128 && shader_of(tile, c, t, caps).is_fixed)
      return &tile;
  for (const Tile& tile : kTiles)
    if (tile.whole() && fits(tile, c, t, caps) && tile.groups(c) >= 128) return &tile;
  const Tile* chosen = nullptr;
  for (const Tile& tile : std::span(kTiles).first(kBySize)) {
    if (!fits(tile, c, t, caps)) continue;
    chosen = &tile;
    if (tile.groups(c) >= 128) break;
  }
  return chosen;
}

}  // namespace

bool accepts_coopmat(const KernelRequest& request, const Capabilities& caps) {
  const DType dtype = in(request, 0).dtype;
  if ((dtype != DType::kF16 && dtype != DType::kBF16) || in(request, 1).dtype != dtype)
    return false;
  const MatrixTile& t = caps.matrices_of(dtype);
  return t && accepts_contraction(request, caps) &&
         choose(Contraction::of(request), t, caps) != nullptr;
}

Result<KernelSpec> prepare_coopmat(const KernelRequest& request, const Capabilities& caps) {
  const Contraction c = Contraction::of(request);
  const DType dtype = in(request, 0).dtype;
  const MatrixTile& t = caps.matrices_of(dtype);
  const Tile& tile = *choose(c, t, caps);
  const auto group = static_cast<uint32_t>(tile.group_size(caps));
  const std::string shader = on_matrices_of(dtype, shader_of(tile, c, t, caps).name);
  Dispatch d = c.dispatch(request, shader, group, tile.bm, tile.bn, tile.bk);
  if (!tile.whole())
    for (int64_t constant :
         {int64_t{group}, int64_t{c.vector_a(8)}, int64_t{c.vector_b(8)}, tile.wm, tile.wn,
          int64_t{t.m}, int64_t{t.n}, int64_t{t.k}, tile.stages})
      d.constants.push_back(u32(constant));
  d.on_matrices = true;
  return KernelSpec{.name = str(tile.whole()                     ? "matmul_coopmat2_"
                                : c.mode == Contraction::kMatmul ? "matmul_coopmat_"
                                                                 : "conv_coopmat_",
                                tile.bm, "x", tile.bn, "x", tile.bk),
                    .dispatches = {d}};
}

}  // namespace zoetrope::vulkan
