#include "runtime/engine/tile_canvas.h"

namespace zoetrope {
namespace {

int64_t latents_of(const TilePlan& plan) { return plan.tiles.back().to; }

// What a tile's pixel `p` (from the tile's begin) weighs along one axis: up from 0 at its begin and
// down to its end over what it shares with a neighbour, as diffusers blends tiles; 0 where it is
// cut off. Neighbours' weights add up to one.
double weight(const TilePlan& plan, size_t tile, int64_t p, int64_t scale) {
  const Tile& t = plan.tiles[tile];
  const int64_t blend = plan.blend * scale, at = t.start * scale + p;
  const int64_t from = t.from * scale, to = t.to * scale;
  if (at < from || at >= to) return 0;
  const auto ramp = [&](int64_t i) { return static_cast<double>(i) / static_cast<double>(blend); };
  double w = 1;
  if (tile > 0 && at < from + blend) w *= ramp(at - from);
  if (tile + 1 < plan.tiles.size() && at >= to - blend) w *= 1 - ramp(at - (to - blend));
  return w;
}

}  // namespace

TileCanvas::TileCanvas(const TilePlan& rows, const TilePlan& columns, int64_t scale,
                       int64_t channels)
    : rows_(rows),
      columns_(columns),
      scale_(scale),
      channels_(channels),
      width_(latents_of(columns) * scale),
      pixels_(static_cast<size_t>(latents_of(rows) * scale * width_ * channels), 0.0f) {}

void TileCanvas::add(size_t r, size_t c, std::span<const float> tile) {
  const int64_t height = rows_.length * scale_, width = columns_.length * scale_;
  std::vector<float> across(static_cast<size_t>(width));
  for (int64_t x = 0; x < width; ++x)
    across[static_cast<size_t>(x)] = static_cast<float>(weight(columns_, c, x, scale_));
  const int64_t left = columns_.tiles[c].start * scale_, top = rows_.tiles[r].start * scale_;
  for (int64_t y = 0; y < height; ++y) {
    const auto down = static_cast<float>(weight(rows_, r, y, scale_));
    if (down == 0) continue;
    const float* from = tile.data() + y * width * channels_;
    float* to = pixels_.data() + ((top + y) * width_ + left) * channels_;
    for (int64_t x = 0; x < width; ++x) {
      const float w = down * across[static_cast<size_t>(x)];
      if (w == 0) continue;
      for (int64_t k = 0; k < channels_; ++k) to[x * channels_ + k] += w * from[x * channels_ + k];
    }
  }
}

}  // namespace zoetrope
