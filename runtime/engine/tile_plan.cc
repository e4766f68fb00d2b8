#include "runtime/engine/tile_plan.h"

#include <algorithm>

namespace zoetrope {

TilePlan plan_tiles(int64_t count, const TileSpec& spec) {
  TilePlan plan;
  const int64_t length = spec.length;
  if (length <= 0 || length >= count) {
    plan.length = count;
    plan.tiles.push_back({0, 0, count});
    return plan;
  }
  plan.length = length;
  plan.exact = spec.reach > 0 && spec.overlap >= 2 * spec.reach && length > spec.overlap;
  const int64_t overlap = plan.exact ? spec.overlap : std::min(spec.overlap, length / 2);
  plan.blend = plan.exact ? 0 : overlap;
  const int64_t last = count - length;
  for (int64_t start = 0, from = 0;; start = std::min(start + length - overlap, last)) {
    int64_t to = start + length;
    if (plan.exact && start < last) to -= spec.reach;
    plan.tiles.push_back({start, from, to});
    if (start == last) return plan;
    from = to - plan.blend;
  }
}

TileSpec with_tile_length(TileSpec spec, int64_t length) {
  spec.length = length;
  if (spec.reach > 0 && length >= 4 * spec.reach)
    spec.overlap = std::max(spec.overlap, 2 * spec.reach);
  return spec;
}

}  // namespace zoetrope
