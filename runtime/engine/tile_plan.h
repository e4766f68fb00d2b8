// How a sequence of latents is decoded piece by piece: plain data, decided before anything runs.
// Clips and sound have one along time, pictures one an axis (tile_canvas.h).
#pragma once

#include <cstdint>
#include <vector>

#include "graph/format/recipe.h"

namespace zoetrope {

// One decoder call on latents [start, start + TilePlan::length). It gives the output of latents
// [from, to); the first TilePlan::blend of them mix with the tile before (not in the first tile).
struct Tile {
  int64_t start = 0, from = 0, to = 0;
};

struct TilePlan {
  int64_t length = 0;  // latents of every tile
  int64_t blend = 0;   // latents that two neighbours share; 0: they are cut
  // Every output has its whole receptive field inside its tile, so tiling changes nothing but
  // rounding.
  bool exact = true;
  bool stitched = false;    // as TileSpec::stitched says: neighbours share `blend` or more
  std::vector<Tile> tiles;  // in order; together they give every latent
};

// Covers `count` latents as `spec` says: one tile when its length is 0 or holds them all. The last
// tile is moved back rather than made shorter. Neighbours are cut where the overlap reaches over
// both receptive fields, and blended over the overlap (at most half of a tile) otherwise.
// Stitched tiles are as few as share what they must.
TilePlan plan_tiles(int64_t count, const TileSpec& spec);

// `spec` with tiles of `length` latents (0: whole); takes the overlap of an exact cut where that at
// most doubles the work.
TileSpec with_tile_length(TileSpec spec, int64_t length);

}  // namespace zoetrope
