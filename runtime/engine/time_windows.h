// What one call of a network sees of a clip's latents along time, where it does not see them all as
// they stand: of clips that are longer than a call, windows that overlap, whose results are
// averaged at every evaluation (MultiDiffusion, arXiv 2302.08113); of loops, a ring that is cut
// open at another place each step, so that no place stays its end.
#pragma once

#include <cstdint>
#include <vector>

#include "graph/format/recipe.h"
#include "runtime/engine/clip_shape.h"

namespace zoetrope {

// Latents [start, start + weights.size()) of a stream, counted around the ring; what a call makes
// of each counts so much of it. All windows' weights of a latent are 1 together.
struct TimeWindow {
  int64_t start = 0;
  std::vector<float> weights;
};

// Whether calls see the clip otherwise than it stands.
bool sees_windows(const ClipShape& clip);
// The clip as long as what one call sees.
ClipShape seen_by_call(const Recipe& recipe, const ClipShape& clip);
// Calls that see all of it, once.
int64_t count_windows(const ClipShape& clip);
// What those of step `step` see of a stream, in their order.
std::vector<TimeWindow> windows_of(const Recipe& recipe, const LatentSpec& spec,
                                   const ClipShape& clip, int step);

}  // namespace zoetrope
