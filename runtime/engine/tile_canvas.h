// A picture put together from tiles that overlap in rows and in columns.
#pragma once

#include <span>
#include <vector>

#include "runtime/engine/tile_plan.h"

namespace zoetrope {

// Tiles (r, c) of two plans, one an axis; each latent stands for `scale` pixels a side. Neighbours
// are cut or cross-faded linearly, as the plans say, first along columns and then along rows; the
// order in which tiles come does not matter beyond rounding. Both plans are stitched, or neither.
class TileCanvas {
 public:
  // `rows` and `columns` must outlive it.
  TileCanvas(const TilePlan& rows, const TilePlan& columns, int64_t scale, int64_t channels);

  // Pixels of tile (r, c): [rows.length · scale, columns.length · scale, channels].
  void add(size_t r, size_t c, std::span<const float> tile);

  // [height, width, channels]; whole once every tile was added.
  std::span<float> pixels() { return pixels_; }

 private:
  const TilePlan &rows_, &columns_;
  const int64_t scale_, channels_, width_;
  std::vector<float> pixels_;
};

}  // namespace zoetrope
