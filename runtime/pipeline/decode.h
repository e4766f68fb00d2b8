// The last stage: latents to frames and samples, tile by tile into a sink.
#pragma once

#include "runtime/pipeline/generate.h"

namespace zoetrope {

// `session` is the phase's, bound to its tile; `latents` are the DiT's and are denormalised in
// place. A frame goes to the sink, cropped and rounded to u8, as soon as no later tile touches it.
// Host memory: one tile's output and the overlap.
Status decode_video(Session& session, const PipelinePlan& plan, const TilePlan& tiles,
                    std::span<float> latents, ClipSink& sink, const GenerateHooks& hooks);

// The same for sound: samples in [-1, 1].
Status decode_audio(Session& session, const PipelinePlan& plan, const TilePlan& tiles,
                    std::span<float> latents, ClipSink& sink, const GenerateHooks& hooks);

}  // namespace zoetrope
