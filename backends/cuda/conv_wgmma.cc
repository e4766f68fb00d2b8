#include "backends/cuda/conv_wgmma.h"

#include <algorithm>

#include "backends/cuda/tensor_map.h"

namespace zoetrope::cuda {
namespace {

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Of 64, 96, 128 and 192: the one that leaves fewest filters of the last tile unused, then the
// largest. A tile of 96 is written 64 at a time, so that it must be the only one.
int tile_filters(int64_t filters) {
  int best = 64;
  for (const int n : {64, 96, 128, 192}) {
    if (n == 96 && filters > 96) continue;
    if (ceil_div(filters, n) * n <= ceil_div(filters, best) * best) best = n;
  }
  return best;
}

// What a tiling costs: tiles times the taps along t that they multiply, and the positions of x that
// they load.
std::array<int64_t, 2> tiling_cost(const ConvParams& p, const ConvTiling& tiling,
                                   const ConvWgmmaParams& w) {
  int64_t taps = 0;
  for (int i = 0; i < w.tiles[0]; ++i)
    taps += conv_tap_end(w, i * w.tile[0]) - conv_tap_begin(w, i * w.tile[0]);
  taps *= int64_t{w.tiles[1]} * w.tiles[2];
  return {taps, taps * w.part[0] * w.part[1] * w.part[2] * (tiling.inner_h ? 1 : p.kernel[1]) *
                    (tiling.inner_w ? 1 : p.kernel[2])};
}

}  // namespace

bool accepts_conv_wgmma_shape(const ConvParams& p) {
  constexpr int64_t kLimit = int64_t{1} << 30;
  if (p.kernel[0] > 64 || p.transposed || p.replicate > 1 || p.groups != 1 || p.channels < 16)
    return false;
  if (p.channels % 8 != 0 || p.filters % 8 != 0 || p.positions() == 0 || p.filters == 0)
    return false;
  for (int d = 0; d < 3; ++d)
    if (p.stride[d] > 8 || p.in[d] == 0 || p.in[d] > kLimit || p.pad[d] > kLimit ||
        p.dilation[d] * p.kernel[d] > kLimit)
      return false;
  return p.positions() < kLimit && p.channels < kLimit && p.filters < kLimit &&
         p.taps() * p.channels < kLimit && p.batch * p.in[0] * p.in[1] * p.in[2] < kLimit;
}

bool set_conv_tiling(const ConvParams& p, const ConvTiling& tiling, ConvWgmmaParams* to) {
  ConvWgmmaParams& w = *to;
  w.channels = static_cast<int>(p.channels), w.filters = static_cast<int>(p.filters);
  w.tile_filters = tile_filters(p.filters);
  w.columns = static_cast<int>(ceil_div(p.filters, w.tile_filters));
  w.batch = static_cast<int>(p.batch);
  w.inner_h = tiling.inner_h, w.inner_w = tiling.inner_w;
  const std::array<int, 3> block =
      tiling.flat ? std::array<int, 3>{1, 1, 64} : std::array<int, 3>{1, 8, 8};
  const std::array<bool, 3> inner{false, tiling.inner_h, tiling.inner_w};
  for (size_t d = 0; d < 3; ++d) {
    w.kernel[d] = static_cast<int>(p.kernel[d]), w.dilation[d] = static_cast<int>(p.dilation[d]);
    w.pad[d] = static_cast<int>(p.pad[d]), w.stride[d] = static_cast<int>(p.stride[d]);
    if (inner[d] && w.stride[d] > 1) return false;  // neighbouring taps share nothing
    w.block[d] = block[d], w.tile[d] = tiling.blocks[d] * block[d];
    w.tiles[d] = static_cast<int>(ceil_div(p.out[d], w.tile[d]));
    const int64_t part = w.tile[d] + (inner[d] ? (p.kernel[d] - 1) * p.dilation[d] : 0);
    if (part * p.stride[d] > 256) return false;  // of a box
    w.part[d] = static_cast<int>(part);
  }
  if (w.part[0] * w.part[1] * w.part[2] > kConvPartRows) return false;
  w.next_eight = tiling.flat ? 8 : w.part[2];
  for (int i = 0; i < kConvBlocks; ++i) {
    const std::array<int, 3> index{i / (tiling.blocks[1] * tiling.blocks[2]),
                                   i / tiling.blocks[2] % tiling.blocks[1], i % tiling.blocks[2]};
    for (size_t d = 0; d < 3; ++d) w.block_at[i][d] = index[d] * block[d];
    w.block_row[i] =
        (w.block_at[i][0] * w.part[1] + w.block_at[i][1]) * w.part[2] + w.block_at[i][2];
  }
  w.in_t = static_cast<int>(p.in[0]);
  w.replicate_t = (p.replicate & 1) != 0;
  if (w.replicate_t && w.tile[0] > 1) return false;
  w.activation = p.activation;
  w.dtype = p.dtype, w.bias_dtype = p.bias_dtype;
  return true;
}

ConvTiling choose_conv_tiling(const ConvParams& p) {
  ConvTiling best;
  best.inner_h = best.inner_w = false;
  std::array<int64_t, 2> least{INT64_MAX, INT64_MAX};
  for (const bool flat : {false, true})
    for (int t = 1; t <= kConvBlocks; t *= 2)
      for (int h = 1; t * h <= kConvBlocks; h *= 2)
        for (int inner = 3; inner >= 0; --inner) {
          const ConvTiling tiling{.blocks = {t, h, kConvBlocks / (t * h)},
                                  .flat = flat,
                                  .inner_h = (inner & 1) != 0,
                                  .inner_w = (inner & 2) != 0};
          ConvWgmmaParams w{};
          if (!set_conv_tiling(p, tiling, &w)) continue;
          const std::array<int64_t, 2> cost = tiling_cost(p, tiling, w);
          if (cost < least) least = cost, best = tiling;
        }
  return best;
}

Status map_conv_operands(const ConvParams& p, ConvWgmmaParams* to) {
  ConvWgmmaParams& w = *to;
  w.bias = p.bias;
  const auto positions = [&](const void* data, int64_t channels, const int64_t(&extent)[3],
                             std::array<int32_t, 3> box, std::array<int32_t, 3> every,
                             CUtensorMap* map) {
    const int64_t row = extent[2] * channels, plane = extent[1] * row;
    return make_tensor_map({.data = data,
                            .dtype = p.dtype,
                            .rank = 5,
                            .extents = {channels, extent[2], extent[1], extent[0], p.batch},
                            .steps = {1, channels, row, plane, extent[0] * plane},
                            .box = {64, box[2], box[1], box[0], 1},
                            .every = {1, every[2], every[1], every[0], 1}},
                           map);
  };
  ZT_RETURN_IF_ERROR(positions(p.x, p.channels, p.in, {w.part[0], w.part[1], w.part[2]},
                               {w.stride[0], w.stride[1], w.stride[2]}, &w.x));
  ZT_RETURN_IF_ERROR(
      positions(p.y, p.filters, p.out, {1, w.block[1], w.block[2]}, {1, 1, 1}, &w.y));
  return make_tensor_map({.data = p.weight,
                          .dtype = p.dtype,
                          .rank = 3,
                          .extents = {p.channels, p.taps(), p.filters},
                          .steps = {1, p.channels, p.taps() * p.channels},
                          .box = {64, 1, w.tile_filters / kConvCluster}},
                         &w.weight);
}

}  // namespace zoetrope::cuda
