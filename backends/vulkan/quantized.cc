// 8-bit numbers: quantize_rows, and quantized_matmul with plain integers, products of four or
// cooperative matrices. shaders/quantized*.
#include <algorithm>

#include "backends/vulkan/quantized.h"
#include "backends/vulkan/rows.h"

namespace zoetrope::vulkan {
namespace {

Result<KernelSpec> prepare_quantize_rows(const KernelRequest& request, const Capabilities& caps) {
  const TensorType& x = in(request, 0);
  const int64_t width = x.shape[-1], rows = out(request, 1).shape.elements();
  const uint32_t chunk = row_chunk(width, x.dtype);
  Dispatch d =
      row_dispatch("quantize_rows", lay_out_rows(rows, width / chunk, chunk, true, caps), 0);
  d.operands = {input(request, 0), output(request, 0), output(request, 1)};
  // Rows of nothing: a binding must hold something.
  if (x.shape.elements() == 0) {
    d.operands[0] = d.operands[1] = output(request, 1);
    for (size_t i : {0, 1}) d.operands[i].reads = d.operands[i].writes = false;
  }
  d.constants.push_back(out(request).dtype == DType::kI8);
  d.constants.push_back(attrs(request).get_int("rotation") != 0);
  d.params = {u32(rows), u32(width)};
  d.flops = 10 * static_cast<double>(x.shape.elements());
  return KernelSpec{.name = "quantize_rows", .dispatches = {d}};
}

bool accepts_quantize_rows(const KernelRequest& request, const Capabilities&) {
  return is_compute_dtype(in(request, 0).dtype);
}

Result<KernelSpec> prepare_activate_quantize(const KernelRequest& request,
                                             const Capabilities& caps) {
  constexpr uint32_t kHeld = 8;  // MOST_KEPT of the shader: feed-forward rows are wide
  const TensorType& a = in(request, 0);
  const int64_t width = a.shape[-1], rows = out(request, 1).shape.elements();
  const bool gated = has(request, 1);
  const uint32_t chunk = row_chunk(width, a.dtype);
  Dispatch d = row_dispatch("activate_quantize",
                            lay_out_rows(rows, width / chunk, chunk, true, caps, kHeld), 0);
  d.operands = {input(request, 0), input(request, gated ? 1 : 0), output(request, 0),
                output(request, 1)};
  d.constants.insert(d.constants.end(),
                     {activation_number(request), out(request).dtype == DType::kI8, gated});
  d.params = {u32(rows), u32(width)};
  d.flops = 30 * static_cast<double>(a.shape.elements());
  return KernelSpec{.name = "activate_quantize", .dispatches = {d}};
}

bool accepts_activate_quantize(const KernelRequest& request, const Capabilities&) {
  return compute_inputs(request) && in(request, 0).shape.elements() > 0;
}

// Any device: 128 invocations have 32 elements each; tiles follow a narrow c.
Result<KernelSpec> prepare_tiled(const KernelRequest& request, const Capabilities& caps) {
  const QuantizedProduct p(request);
  const bool integer = in(request, QuantizedProduct::kA).dtype == DType::kI8;
  const bool dot = integer && caps.addresses && caps.integer_dot;
  const int64_t bn = p.n <= 16 ? 16 : p.n <= 32 ? 32 : p.m <= 32 ? 128 : 64, bm = 4096 / bn;
  const char* shader = dot ? "quantized_matmul_dot" : "quantized_matmul";
  Dispatch d = p.dispatch(request, shader, 128, bm, bn);
  d.constants.insert(d.constants.end(), {integer, p.k % 4 == 0});
  return KernelSpec{.name = str(shader, integer ? "_i8_" : "_f8_", bm, "x", bn), .dispatches = {d}};
}

// What a group and each of its subgroups make on cooperative matrices, and the depth of a stage.
struct Tile {
  int64_t bm, bn, bk, wm, wn;

  int64_t subgroups() const { return bm / wm * (bn / wn); }
  // As kPool in shaders/quantized_coopmat.glsl.
  int64_t shared_bytes(const MatrixTile& t, int64_t unit) const {
    const int64_t stages = 2 * (bm + bn) * (bk / unit + 1);
    return unit * std::max(stages, subgroups() * t.m * (wn * 4 / unit + 1));
  }
};

// From the one that reads least from memory on; the last for emulators, which compile large ones
// for minutes.
constexpr Tile kTiles[] = {
    {128, 128, 64, 64, 64}, {128, 64, 64, 64, 32}, {64, 64, 64, 32, 32}, {32, 32, 32, 16, 16}};

bool fits(const Tile& tile, const Capabilities& caps) {
  const MatrixTile& t = caps.coop_i8;
  const int64_t group = tile.subgroups() * caps.subgroup_size, unit = unit_of(t);
  const auto divides = [](int64_t whole, int64_t part) { return part > 0 && whole % part == 0; };
  if (unit == 0 || group > caps.max_group_size || !divides(group, tile.bk / unit)) return false;
  const int64_t rows = group / (tile.bk / unit);  // loaded at once
  return divides(tile.wm, t.m) && divides(tile.wn, t.n) && divides(tile.bk, t.k) &&
         divides(t.n, 4) && divides(tile.bm, rows) && divides(tile.bn, rows) &&
         tile.shared_bytes(t, unit) <= caps.shared_bytes;
}

// The largest tile that still gives every processor of a large device a group.
const Tile* choose(const QuantizedProduct& p, const Capabilities& caps) {
  if (caps.software) return fits(std::end(kTiles)[-1], caps) ? std::end(kTiles) - 1 : nullptr;
  const auto asked = static_cast<size_t>(caps.tile - 1);
  if (asked < std::size(kTiles) && fits(kTiles[asked], caps)) return &kTiles[asked];
  const Tile* chosen = nullptr;
  for (const Tile& tile : kTiles) {
    if (!fits(tile, caps)) continue;
    chosen = &tile;
    if (p.groups(tile.bm, tile.bn) >= 128) break;
  }
  return chosen;
}

bool accepts_coopmat(const KernelRequest& request, const Capabilities& caps) {
  return caps.coop_i8 && in(request, QuantizedProduct::kA).dtype == DType::kI8 &&
         choose(QuantizedProduct(request), caps) != nullptr;
}

Result<KernelSpec> prepare_coopmat(const KernelRequest& request, const Capabilities& caps) {
  const QuantizedProduct p(request);
  const Tile& tile = *choose(p, caps);
  const MatrixTile& t = caps.coop_i8;
  const int64_t unit = unit_of(t);
  const auto group = static_cast<uint32_t>(tile.subgroups() * caps.subgroup_size);
  Dispatch d = p.dispatch(request, unit == 16 ? "quantized_coopmat" : "quantized_coopmat_k8", group,
                          tile.bm, tile.bn);
  d.constants.insert(d.constants.end(), {u32(tile.bk), p.k % unit == 0, u32(tile.wm), u32(tile.wn),
                                         t.m, t.n, t.k, group});
  d.on_matrices = true;
  return KernelSpec{
      .name = str("quantized_matmul_coopmat_i8_", tile.bm, "x", tile.bn, "x", tile.bk),
      .dispatches = {d}};
}

constexpr TableRow kTable[] = {
    {OpKind::kQuantizeRows, accepts_quantize_rows, prepare_quantize_rows},
    {OpKind::kActivateQuantize, accepts_activate_quantize, prepare_activate_quantize},
    {OpKind::kQuantizedMatmul, accepts_quantized_packed, prepare_quantized_packed},
    {OpKind::kQuantizedMatmul, accepts_coopmat, prepare_coopmat},
    {OpKind::kQuantizedMatmul, nullptr, prepare_tiled},
};

}  // namespace

Dispatch QuantizedProduct::dispatch(const KernelRequest& request, const std::string& shader,
                                    uint32_t group_size, int64_t bm, int64_t bn) const {
  const auto operand = [&](size_t i) {
    if (has(request, i) && in(request, i).shape.elements() > 0) return input(request, i);
    Operand none = output(request);
    none.reads = none.writes = false;
    return none;
  };
  Dispatch d;
  d.shader = shader;
  d.operands = {operand(kA),      operand(kAScale), operand(kB),
                operand(kBScale), operand(kBias),   output(request)};
  d.constants = {has(request, kBias), n % 4 == 0, u32(bm), u32(bn)};
  d.params = {u32(m), u32(n), u32(k), u32(ceil_div(m, bm)), u32(ceil_div(n, bn))};
  d.group_size = group_size;
  d.groups = groups(bm, bn);
  d.flops = 2.0 * static_cast<double>(m * n) * static_cast<double>(k);
  return d;
}

std::span<const TableRow> quantized_table() { return kTable; }

}  // namespace zoetrope::vulkan
