// Norms over the last axis (norm_modulate too), or over groups of channels.
#include "backends/vulkan/rows.h"
#include "backends/vulkan/walk.h"

namespace zoetrope::vulkan {
namespace {

// rms_norm, layer_norm, norm_modulate, residual_norm, and the last two with their rows quantised:
// shaders/row_norm.glsl.
constexpr size_t kNoInput = 99;
constexpr size_t kIntegerConstant = 27 - 16;  // INTEGER among the constants
struct RowNorm {
  bool rms;
  const char* name;
  size_t weight, bias, scale, shift;  // inputs; kNoInput: the op has none
  size_t residual = kNoInput, gate = kNoInput;
  bool quantized = false;  // the last outputs are the rows' numbers and factors
};

Result<KernelSpec> prepare_row_norm(const KernelRequest& request, const Capabilities& caps,
                                    const RowNorm& norm) {
  const TensorType& x = in(request, 0);
  const int64_t width = x.shape[-1], rows = x.shape.elements() / width;
  const uint32_t chunk = row_chunk(width, x.dtype);
  const auto shape_of = [&](size_t i) { return has(request, i) ? &in(request, i).shape : nullptr; };
  const auto operand = [&](size_t i) { return input(request, has(request, i) ? i : 0); };
  const RowBroadcast broadcast =
      broadcast_rows(x.shape, shape_of(norm.scale), shape_of(norm.shift));
  const auto form = [&](size_t i, bool moves) { return !has(request, i) ? 0u : moves ? 1u : 2u; };
  Dispatch d = row_dispatch(norm.quantized ? "norm_quantize" : "row_norm",
                            lay_out_rows(rows, width / chunk, chunk, true, caps), broadcast.rank);
  d.operands = {input(request, 0),   operand(norm.weight), operand(norm.bias),
                operand(norm.scale), operand(norm.shift),  output(request)};
  d.constants.insert(d.constants.end(),
                     {norm.rms, has(request, norm.weight), has(request, norm.bias),
                      form(norm.scale, broadcast.moves[0]), form(norm.shift, broadcast.moves[1])});
  d.params = {u32(rows), u32(width), float_bits(attrs(request).get_float("epsilon"))};
  d.params.insert(d.params.end(), broadcast.params.begin(), broadcast.params.end());
  if (norm.residual != kNoInput) {
    const RowBroadcast gating = broadcast_rows(x.shape, shape_of(norm.gate), nullptr);
    d.shader = norm.quantized ? "residual_norm_quantize" : "residual_norm";
    d.operands.back() = output(request, 1);
    d.operands.insert(d.operands.end(),
                      {input(request, norm.residual), operand(norm.gate), output(request, 0)});
    d.constants.insert(d.constants.end(), {form(norm.gate, gating.moves[0]), gating.rank});
    d.params.insert(d.params.end(), gating.params.begin(), gating.params.end());
  }
  if (norm.quantized) {
    const size_t numbers = norm.residual != kNoInput ? 1 : 0;
    d.operands.push_back(output(request, numbers + 1));
    d.constants.resize(kIntegerConstant);  // what only a residual has
    d.constants.push_back(out(request, numbers).dtype == DType::kI8);
  }
  d.flops = 10 * static_cast<double>(x.shape.elements());
  return KernelSpec{.name = norm.name, .dispatches = {d}};
}

Result<KernelSpec> prepare_rms_norm(const KernelRequest& request, const Capabilities& caps) {
  return prepare_row_norm(request, caps, {true, "rms_norm", 1, kNoInput, kNoInput, kNoInput});
}

Result<KernelSpec> prepare_layer_norm(const KernelRequest& request, const Capabilities& caps) {
  return prepare_row_norm(request, caps, {false, "layer_norm", 1, 2, kNoInput, kNoInput});
}

Result<KernelSpec> prepare_norm_modulate(const KernelRequest& request, const Capabilities& caps) {
  const bool rms = attrs(request).get_string("norm") == "rms";
  return prepare_row_norm(request, caps, {rms, "norm_modulate", 3, 4, 1, 2});
}

Result<KernelSpec> prepare_residual_norm(const KernelRequest& request, const Capabilities& caps) {
  const bool rms = attrs(request).get_string("norm") == "rms";
  return prepare_row_norm(request, caps, {rms, "residual_norm", 5, 6, 3, 4, 1, 2});
}

Result<KernelSpec> prepare_norm_quantize(const KernelRequest& request, const Capabilities& caps) {
  const bool rms = attrs(request).get_string("norm") == "rms";
  RowNorm norm{rms, "norm_quantize", 3, 4, 1, 2};
  norm.quantized = true;
  return prepare_row_norm(request, caps, norm);
}

Result<KernelSpec> prepare_residual_norm_quantize(const KernelRequest& request,
                                                  const Capabilities& caps) {
  const bool rms = attrs(request).get_string("norm") == "rms";
  return prepare_row_norm(request, caps, {rms, "residual_norm_quantize", 5, 6, 3, 4, 1, 2, true});
}

// Three dispatches: statistics of each column of channels over a block of positions, of each group,
// and the result. shaders/group_norm_*.comp.
Result<KernelSpec> prepare_group_norm(const KernelRequest& request, const Capabilities& caps) {
  const TensorType& x = in(request, 0);
  const int64_t width = x.shape[-1], batch = x.shape[0], groups = attrs(request).get_int("groups");
  if (x.shape.elements() == 0) return KernelSpec{.name = "group_norm"};
  const int64_t positions = x.shape.elements() / width / batch, part = width / groups;
  const uint32_t chunk = row_chunk(part, x.dtype);
  const int64_t columns = width / chunk;

  constexpr int64_t kMostBlocks = 512;
  const int64_t most = std::min<int64_t>(256, std::bit_floor(caps.max_group_size));
  const int64_t tiles = ceil_div(columns, most), tile = ceil_div(columns, tiles);
  const int64_t abreast = most / tile;  // positions at once
  const int64_t block = std::max(abreast * 16, ceil_div(positions, kMostBlocks));
  const int64_t blocks = ceil_div(positions, block);
  const int64_t parts_bytes = ceil_div(batch * blocks * columns * 16, 256) * 256;
  const int64_t stats_bytes = batch * groups * 16;
  const auto by_part = divisor(static_cast<uint64_t>(part / chunk)),
             by_positions = divisor(static_cast<uint64_t>(positions));
  const std::vector<uint32_t> params = {u32(positions),
                                        u32(width),
                                        u32(columns),
                                        u32(tile),
                                        u32(abreast),
                                        u32(tiles),
                                        u32(block),
                                        u32(blocks),
                                        u32(groups),
                                        u32(part / chunk),
                                        float_bits(attrs(request).get_float("epsilon")),
                                        u32(batch),
                                        by_part[0],
                                        by_part[1],
                                        by_positions[0],
                                        by_positions[1]};
  const double elements = static_cast<double>(x.shape.elements());

  Dispatch parts;
  parts.shader = "group_norm_parts";
  parts.operands = {input(request, 0), workspace(DType::kF32, 0, parts_bytes, true)};
  parts.constants = {chunk, 1, 0, 0};
  parts.params = params;
  parts.group_size = u32(tile * abreast);
  parts.groups = batch * blocks * tiles;
  parts.flops = 6 * elements;

  Dispatch combine;
  combine.shader = "group_norm_combine";
  combine.operands = {workspace(DType::kF32, 0, parts_bytes, false),
                      workspace(DType::kF32, parts_bytes, stats_bytes, true)};
  combine.constants = {chunk, 1, 0, 0};
  combine.params = params;
  combine.group_size = u32(most);
  combine.groups = batch * groups;
  combine.flops = 10 * static_cast<double>(batch * blocks * columns);

  const bool weighted = has(request, 1), biased = has(request, 2);
  Dispatch apply = row_dispatch("group_norm_apply",
                                lay_out_rows(batch * positions, columns, chunk, true, caps), 0);
  apply.operands = {input(request, 0), workspace(DType::kF32, parts_bytes, stats_bytes, false),
                    input(request, weighted ? 1 : 0), input(request, biased ? 2 : 0),
                    output(request)};
  apply.constants.insert(apply.constants.end(), {weighted, biased});
  apply.params = params;
  apply.flops = 4 * elements;

  return KernelSpec{.name = "group_norm",
                    .workspace_bytes = parts_bytes + stats_bytes,
                    .dispatches = {parts, combine, apply}};
}

bool accepts(const KernelRequest& request, const Capabilities&) { return compute_dtypes(request); }
bool accepts_quantized(const KernelRequest& request, const Capabilities&) {
  return compute_inputs(request);
}

constexpr TableRow kTable[] = {
    {OpKind::kRmsNorm, accepts, prepare_rms_norm},
    {OpKind::kLayerNorm, accepts, prepare_layer_norm},
    {OpKind::kNormModulate, accepts, prepare_norm_modulate},
    {OpKind::kResidualNorm, accepts, prepare_residual_norm},
    {OpKind::kNormQuantize, accepts_quantized, prepare_norm_quantize},
    {OpKind::kResidualNormQuantize, accepts_quantized, prepare_residual_norm_quantize},
    {OpKind::kGroupNorm, accepts, prepare_group_norm},
};

}  // namespace

std::span<const TableRow> norm_table() { return kTable; }

}  // namespace zoetrope::vulkan
