// Products of i8 with a weight, which is kept in the order of the device's cooperative matrices:
// shaders/pack_coopmat_i8*.comp, shaders/quantized_coopmat_packed*.comp.
#include <algorithm>
#include <iterator>

#include "backends/vulkan/fixed.h"
#include "backends/vulkan/quantized.h"

namespace zoetrope::vulkan {
namespace {

constexpr size_t kWeight = QuantizedProduct::kB;
constexpr int64_t kStageSteps = 4;  // matrices along k in a stage, as STAGE_STEPS in the shader
constexpr int64_t kAhead = 4;       // steps fetched in vain at the end; AHEAD of the shader at most
// Of the raw weight, while it is packed.
constexpr int64_t kPartBytes = int64_t{16} << 20;

// What a group and each of its subgroups make. Weights are packed by wn columns.
struct Tile {
  int64_t bm, bn, wm, wn;
  // Of an H200: groups that run at once, and microseconds that they take for a stage and for what
  // comes before and after all stages.
  int64_t at_once = 1;
  double stage = 1, around = 1;

  int64_t subgroups() const { return bm / wm * (bn / wn); }
  int64_t bk(const MatrixTile& t) const { return kStageSteps * t.k; }
  // As pool in the shader.
  int64_t shared_bytes(const MatrixTile& t) const {
    const int64_t unit = unit_of(t);
    const int64_t a = 2 * bm * (bk(t) / unit + 1), c = subgroups() * t.m * (wn * 4 / unit + 1);
    return unit * std::max(a, c);
  }
  int64_t stages(const QuantizedProduct& p, const MatrixTile& t) const {
    return ceil_div(p.k, bk(t));
  }
  double microseconds(const QuantizedProduct& p, const MatrixTile& t) const {
    const auto waves = static_cast<double>(ceil_div(p.groups(bm, bn), at_once));
    return waves * (static_cast<double>(stages(p, t)) * stage + around);
  }
};

// The last is for emulators, which take long to compile what a large tile unrolls to, and the one
// before it for tests.
constexpr Tile kTiles[] = {{128, 256, 128, 32, 132, 1.43, 4.1},
                           {64, 64, 32, 32, 264, 0.97, 1.1},
                           {16, 48, 16, 24},
                           {16, 32, 8, 16}};

bool fits(const Tile& tile, const MatrixTile& t, const Capabilities& caps) {
  const int64_t group = tile.subgroups() * caps.subgroup_size, chunks = tile.wn / 8;
  const int64_t unit = unit_of(t);
  const auto divides = [](int64_t whole, int64_t part) { return whole % part == 0; };
  if (unit == 0 || int64_t{t.n} * t.k != unit * caps.subgroup_size) return false;
  const int64_t units = tile.bk(t) / unit;
  return group <= caps.max_group_size && tile.shared_bytes(t) <= caps.shared_bytes &&
         divides(t.n, 8) && divides(tile.wm, t.m) && tile.wm <= 8 * t.m && divides(tile.wn, t.n) &&
         divides(group, units) && divides(tile.bm * units, group) &&
         divides(t.m * chunks, caps.subgroup_size);
}

FixedShader shader_of(const Tile& tile, const QuantizedProduct& p, const MatrixTile& t,
                      const Capabilities& caps) {
  if (unit_of(t) != 16) return {"quantized_coopmat_packed_k8"};
  constexpr const char* kName = "quantized_coopmat_packed";
  if (p.k % 16 != 0) return {kName};
  return fixed_shader(kName, {tile.bm, tile.bn, tile.wm, tile.wn}, t, caps, 32);
}

const Tile* choose(const QuantizedProduct& p, const MatrixTile& t, const Capabilities& caps) {
  if (caps.tile > 0) return nullptr;  // of others
  const auto asked = static_cast<size_t>(caps.packed_tile - 1);
  if (asked < std::size(kTiles) && fits(kTiles[asked], t, caps)) return &kTiles[asked];
  const Tile *emulated = std::end(kTiles) - 1, *tested = emulated - 1, *chosen = nullptr;
  if (caps.software) return fits(*emulated, t, caps) ? emulated : nullptr;
  for (const Tile* tile = kTiles; tile != tested; ++tile)
    if (fits(*tile, t, caps) &&
        (chosen == nullptr || tile->microseconds(p, t) < chosen->microseconds(p, t)))
      chosen = tile;
  return chosen;
}

// How often TK rows of matrices are passed.
int64_t steps_of(const QuantizedProduct& p, const Tile& tile, const MatrixTile& t) {
  return tile.stages(p, t) * kStageSteps;
}
int64_t packed_bytes(const QuantizedProduct& p, const Tile& tile, const MatrixTile& t) {
  return (ceil_div(p.n, tile.wn) * steps_of(p, tile, t) + kAhead) * tile.wn * t.k;
}

Packing packing_of(const QuantizedProduct& p, const Tile& tile, const MatrixTile& t,
                   const Capabilities& caps) {
  const int64_t steps = steps_of(p, tile, t);
  Packing packing{.packed = {kWeight, packed_bytes(p, tile, t),
                             str("coopmat_i8_", t.k, "x", t.n, "_", tile.wn, "_columns_", steps,
                                 "_steps_", p.k, "x", p.n)},
                  .dtype = DType::kI8};
  packing.rows_at_once = std::max<int64_t>(kPartBytes / p.k / tile.wn, 1) * tile.wn;
  packing.dispatch = [=, k = p.k, block = tile.wn, subgroup = caps.subgroup_size](int64_t first,
                                                                                  int64_t rows) {
    constexpr uint32_t kSubgroups = 4;
    Dispatch pack;
    pack.shader = unit_of(t) == 16 ? "pack_coopmat_i8" : "pack_coopmat_i8_k8";
    pack.operands = {
        {.kind = Operand::kInput, .dtype = DType::kI8},
        {.kind = Operand::kOutput, .dtype = DType::kI8, .reads = false, .writes = true}};
    pack.constants = {t.n, t.k, kSubgroups, u32(block)};
    pack.params = {u32(rows), u32(k), u32(steps), u32(first)};
    pack.group_size = kSubgroups * subgroup;
    pack.groups = ceil_div(ceil_div(rows, block) * steps * (block / t.n), kSubgroups);
    pack.flops = 10 * static_cast<double>(rows * k);
    return pack;
  };
  return packing;
}

}  // namespace

bool accepts_quantized_packed(const KernelRequest& request, const Capabilities& caps) {
  const QuantizedProduct p(request);
  const MatrixTile& t = caps.coop_i8;
  if (!t || !caps.packed_weights || in(request, QuantizedProduct::kA).dtype != DType::kI8 ||
      !request.is_weight[kWeight] || p.m == 0 || p.n == 0 || p.k == 0)
    return false;
  const Tile* const tile = choose(p, t, caps);
  return tile != nullptr && packed_bytes(p, *tile, t) <= caps.max_allocation;
}

Result<KernelSpec> prepare_quantized_packed(const KernelRequest& request,
                                            const Capabilities& caps) {
  const QuantizedProduct p(request);
  const MatrixTile& t = caps.coop_i8;
  const Tile& tile = *choose(p, t, caps);
  const auto group = static_cast<uint32_t>(tile.subgroups() * caps.subgroup_size);
  Dispatch d = p.dispatch(request, shader_of(tile, p, t, caps).name, group, tile.bm, tile.bn);
  for (int64_t constant :
       {int64_t{p.k % unit_of(t) == 0}, tile.wm, tile.wn, int64_t{t.m}, int64_t{t.n}, int64_t{t.k},
        int64_t{group}, int64_t{caps.subgroup_size}, int64_t{p.n % 8 == 0}, tile.stages(p, t) % 2})
    d.constants.push_back(u32(constant));
  d.params.insert(d.params.end(), {u32(steps_of(p, tile, t)), u32(ceil_div(p.n, tile.wn) - 1)});
  d.on_matrices = true;
  return KernelSpec{
      .name = str("quantized_matmul_packed_i8_", tile.bm, "x", tile.bn, "x", tile.bk(t)),
      .dispatches = {d},
      .packing = packing_of(p, tile, t, caps)};
}

}  // namespace zoetrope::vulkan
