#include "runtime/engine/tile_plan.h"

#include <algorithm>

namespace zoetrope {
namespace {

void add_stitched(int64_t count, const TileSpec& spec, TilePlan* plan) {
  plan->stitched = true;
  plan->exact = false;
  plan->blend = spec.overlap;
  const int64_t step = spec.length - spec.overlap;
  const int64_t seams = (count - spec.overlap + step - 1) / step - 1;
  const int64_t spare = (seams + 1) * step + spec.overlap - count;
  int64_t start = 0;
  for (int64_t i = 0; i <= seams; ++i) {
    plan->tiles.push_back({start, start, start + spec.length});
    if (i < seams) start += step - spare / seams - (i < spare % seams ? 1 : 0);
  }
}

}  // namespace

TilePlan plan_tiles(int64_t count, const TileSpec& spec) {
  TilePlan plan;
  const int64_t length = spec.length;
  if (length <= 0 || length >= count) {
    plan.length = count;
    plan.tiles.push_back({0, 0, count});
    return plan;
  }
  plan.length = length;
  if (spec.stitched) {
    add_stitched(count, spec, &plan);
    return plan;
  }
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
