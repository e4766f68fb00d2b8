#include "runtime/engine/tile_canvas.h"

namespace zoetrope {
namespace {

int64_t latents_of(const TilePlan& plan) { return plan.tiles.back().to; }

// What a tile's pixel has a part in along one axis.
struct Part {
  float weight = 0;
  bool next = false;  // of stitched tiles: it stands where the next tile begins
};

// Of pixel `p` from the tile's begin: up from 0 there and down to its end over what it shares with
// a neighbour, as diffusers blends tiles; 0 where it is cut off. Neighbours' weights add up to one.
Part blended(const TilePlan& plan, size_t tile, int64_t p, int64_t scale) {
  const Tile& t = plan.tiles[tile];
  const int64_t blend = plan.blend * scale, at = t.start * scale + p;
  const int64_t from = t.from * scale, to = t.to * scale;
  if (at < from || at >= to) return {};
  const auto ramp = [&](int64_t i) { return static_cast<double>(i) / static_cast<double>(blend); };
  double w = 1;
  if (tile > 0 && at < from + blend) w *= ramp(at - from);
  if (tile + 1 < plan.tiles.size() && at >= to - blend) w *= 1 - ramp(at - (to - blend));
  return {static_cast<float>(w)};
}

// The same of stitched tiles: between a tile's begin and the next one's two have a part at most,
// it and the one before.
Part stitched(const TilePlan& plan, size_t tile, int64_t p, int64_t scale) {
  const auto begin = [&](size_t i) { return plan.tiles[i].start * scale; };
  const int64_t at = begin(tile) + p, length = plan.length * scale;
  const bool next = tile + 1 < plan.tiles.size() && at >= begin(tile + 1);
  const size_t own = tile + (next ? 1 : 0);
  if (own + 1 < plan.tiles.size() && at >= begin(own + 1)) return {};
  const int64_t shared = own == 0 ? 0 : begin(own - 1) + length - begin(own);
  double w = 1;
  if (at < begin(own) + shared)
    w = static_cast<double>(at - begin(own)) / static_cast<double>(shared);
  return {static_cast<float>(next ? 1 - w : w), next};
}

Part part_of(const TilePlan& plan, size_t tile, int64_t p, int64_t scale) {
  return plan.stitched ? stitched(plan, tile, p, scale) : blended(plan, tile, p, scale);
}

// Of what a tile has along rows and along columns: stitched tiles mix along rows as they stand, but
// for what the one above has there.
float weight(const Part& down, const Part& across) {
  if (!across.next) return down.weight * across.weight;
  return down.next ? 0 : across.weight;
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
  std::vector<Part> across(static_cast<size_t>(width));
  for (int64_t x = 0; x < width; ++x)
    across[static_cast<size_t>(x)] = part_of(columns_, c, x, scale_);
  const int64_t left = columns_.tiles[c].start * scale_, top = rows_.tiles[r].start * scale_;
  for (int64_t y = 0; y < height; ++y) {
    const Part down = part_of(rows_, r, y, scale_);
    if (down.weight == 0 && !columns_.stitched) continue;
    const float* from = tile.data() + y * width * channels_;
    float* to = pixels_.data() + ((top + y) * width_ + left) * channels_;
    for (int64_t x = 0; x < width; ++x) {
      const float w = weight(down, across[static_cast<size_t>(x)]);
      if (w == 0) continue;
      for (int64_t k = 0; k < channels_; ++k) to[x * channels_ + k] += w * from[x * channels_ + k];
    }
  }
}

}  // namespace zoetrope
