// Which frame a latent of sound hears.
#pragma once

#include "graph/format/recipe.h"

namespace zoetrope {

// The frame that is shown at the latent's middle.
int64_t frame_at_latent(const LatentSpec& spec, const ClipSpec& clip, int64_t latent);

}  // namespace zoetrope
