// f16 and bf16 contractions with a weight, which is kept in the order and the dtype of the device's
// cooperative matrices, however the model file stores it: shaders/pack_coopmat.comp,
// shaders/matmul_coopmat_packed.comp.
#include <algorithm>
#include <iterator>

#include "backends/vulkan/contraction.h"
#include "backends/vulkan/fixed.h"

namespace zoetrope::vulkan {
namespace {

constexpr size_t kWeight = 1;
constexpr int64_t kAhead = 4;  // steps at most that are fetched in vain at the end
// Of the raw weight, while it is packed.
constexpr int64_t kPartBytes = int64_t{16} << 20;

// What a group and each of its subgroups make. Weights are packed by wn columns.
struct Tile {
  int64_t bm, bn, wm, wn;
  // Of an H100, in microseconds a stage: groups that have a multiprocessor each, and pairs of
  // groups.
  double alone = 1, paired = 1;

  int64_t subgroups() const { return bm / wm * (bn / wn); }
  int64_t bk(const MatrixTile& t) const { return 4 * t.k; }
  // As pool and rows in the shader.
  int64_t shared_bytes(const MatrixTile& t) const {
    const int64_t a = 2 * bm * (bk(t) / 8 + 1), c = subgroups() * t.m * (wn / 4 + 1);
    return 16 * (std::max(a, c) + bm);
  }
  // Per stage, which are as many in every tile.
  double microseconds(const Contraction& c) const {
    constexpr int64_t kProcessors = 132;
    const int64_t groups = ceil_div(c.m, bm) * ceil_div(c.n, bn) * c.products();
    const int64_t full = groups / (2 * kProcessors), rest = groups % (2 * kProcessors);
    double time = static_cast<double>(full) * paired;
    if (rest > 0) time += rest <= kProcessors ? alone : paired;
    return time;
  }
};

// The last is for emulators, which take long to compile what a large tile unrolls to: four seconds
// on Mesa's, where the one before it, which only tests ask for, takes eight.
constexpr Tile kTiles[] = {{64, 256, 64, 64, 0.82, 1.41},
                           {64, 128, 32, 64, 0.65, 0.92},
                           {64, 64, 32, 32, 0.52, 0.63},
                           {16, 32, 16, 16},
                           {16, 32, 8, 16}};

bool fits(const Tile& tile, const MatrixTile& t, const Capabilities& caps) {
  const int64_t group = tile.subgroups() * caps.subgroup_size, chunks = tile.wn / 8;
  const auto divides = [](int64_t whole, int64_t part) { return whole % part == 0; };
  return group <= caps.max_group_size && tile.shared_bytes(t) <= caps.shared_bytes &&
         divides(t.n, 8) && divides(t.k, 8) && divides(tile.wm, t.m) && tile.wm <= 4 * t.m &&
         divides(tile.wn, t.n) && divides(group, tile.bk(t) / 8) &&
         divides(tile.bm * tile.bk(t) / 8, group) && divides(caps.subgroup_size, chunks) &&
         divides(t.m * chunks, caps.subgroup_size);
}

FixedShader shader_of(const Tile& tile, const Contraction& c, const MatrixTile& t,
                      const Capabilities& caps) {
  constexpr const char* kName = "matmul_coopmat_packed";
  if (!c.vector_a(8)) return {kName};
  return fixed_shader(kName, {tile.bm, tile.bn, tile.wm, tile.wn}, t, caps);
}

const Tile* choose(const Contraction& c, const MatrixTile& t, const Capabilities& caps) {
  if (caps.tile > 0) return nullptr;  // of others
  const auto asked = static_cast<size_t>(caps.packed_tile - 1);
  if (asked < std::size(kTiles) && fits(kTiles[asked], t, caps)) return &kTiles[asked];
  const Tile *emulated = std::end(kTiles) - 1, *tested = emulated - 1, *chosen = nullptr;
  if (caps.software) return fits(*emulated, t, caps) ? emulated : nullptr;
  for (const Tile* tile = kTiles; tile != tested; ++tile)
    if (fits(*tile, t, caps) &&
        (chosen == nullptr || tile->microseconds(c) < chosen->microseconds(c)))
      chosen = tile;
  return chosen;
}

// How often TK rows of matrices are passed: whole pairs of stages, of four each.
int64_t steps_of(const Contraction& c, const MatrixTile& t) { return ceil_div(c.k, 8 * t.k) * 8; }
int64_t packed_bytes(const Contraction& c, const Tile& tile, const MatrixTile& t) {
  const int64_t step = tile.wn * t.k * 2;
  return (ceil_div(c.n, tile.wn) * steps_of(c, t) + kAhead) * step;
}

}  // namespace

bool accepts_packed(const KernelRequest& request, const Capabilities& caps) {
  const DType dtype = in(request, 0).dtype;
  if ((dtype != DType::kF16 && dtype != DType::kBF16) ||
      !is_compute_dtype(in(request, kWeight).dtype))
    return false;
  const MatrixTile& t = caps.matrices_of(dtype);
  if (!t || !caps.packs(t) || !accepts_contraction(request, caps)) return false;
  const Contraction c = Contraction::of(request);
  bool one_weight = true;
  for (size_t d = 0; d < c.lead.size(); ++d) one_weight &= c.lead[d] == 1 || c.lead_b[d] == 0;
  if (!request.is_weight[kWeight] || !one_weight || c.mode == Contraction::kConvTranspose ||
      !c.transpose_b || c.m == 0 || c.n == 0 || c.k < 8)
    return false;
  const Tile* const tile = choose(c, t, caps);
  return tile != nullptr && packed_bytes(c, *tile, t) <= caps.max_allocation;
}

Result<KernelSpec> prepare_packed(const KernelRequest& request, const Capabilities& caps) {
  const Contraction c = Contraction::of(request);
  const DType dtype = in(request, 0).dtype;
  const MatrixTile t = caps.matrices_of(dtype);
  const Tile& tile = *choose(c, t, caps);
  const auto group = static_cast<uint32_t>(tile.subgroups() * caps.subgroup_size);
  const int64_t bytes = packed_bytes(c, tile, t), steps = steps_of(c, t);

  Dispatch d = c.dispatch(request, on_matrices_of(dtype, shader_of(tile, c, t, caps).name), group,
                          tile.bm, tile.bn, tile.bk(t));
  d.operands[kWeight].dtype = dtype;
  for (int64_t constant :
       {int64_t{group}, int64_t{c.vector_a(8)}, int64_t{true}, tile.wm, tile.wn, int64_t{t.m},
        int64_t{t.n}, int64_t{t.k}, int64_t{caps.subgroup_size}, int64_t{c.vector_c(8)}})
    d.constants.push_back(u32(constant));
  d.params.insert(d.params.end(), {u32(steps), u32(ceil_div(c.n, tile.wn) - 1)});
  d.on_matrices = true;

  Packing packing{.packed = {kWeight, bytes,
                             str("coopmat_", dtype_name(dtype), "_", t.k, "x", t.n, "_", tile.wn,
                                 "_columns_", steps, "_steps_", c.k, "x", c.n)},
                  .dtype = dtype};
  packing.rows_at_once =
      std::max<int64_t>(kPartBytes / (c.k * dtype_size(dtype)) / tile.wn, 1) * tile.wn;
  packing.dispatch = [=, block = tile.wn, subgroup = caps.subgroup_size](int64_t first,
                                                                         int64_t rows) {
    constexpr uint32_t kSubgroups = 4;
    Dispatch pack;
    pack.shader = on_matrices_of(dtype, "pack_coopmat");
    pack.operands = {{.kind = Operand::kInput, .dtype = dtype},
                     {.kind = Operand::kOutput, .dtype = dtype, .reads = false, .writes = true}};
    pack.constants = {t.n, t.k, kSubgroups, u32(block)};
    pack.params = {u32(rows), u32(c.k), u32(steps), u32(first)};
    pack.group_size = kSubgroups * subgroup;
    pack.groups = ceil_div(ceil_div(rows, block) * steps * (block / t.n), kSubgroups);
    pack.flops = 10 * static_cast<double>(rows * c.k);
    return pack;
  };
  return KernelSpec{.name = str(c.mode == Contraction::kMatmul ? "matmul" : "conv", "_packed_",
                                tile.bm, "x", tile.bn),
                    .dispatches = {d},
                    .packing = packing};
}

}  // namespace zoetrope::vulkan
