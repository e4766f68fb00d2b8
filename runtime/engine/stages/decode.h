// What the decoders share: one component whose outermost axis may be run tile by tile.
#pragma once

#include <functional>
#include <span>

#include "runtime/engine/stage.h"

namespace zoetrope {

// Whether the decoder fits the recipe at tiles of any length.
Status check_decoder(const Decode& s, CheckContext* context);

// Plans one decoder for the request's tiles, or shorter ones where the budget asks for them.
Status plan_decoder(const Decode& s, std::string_view name, PlanContext* context);

// The decoder's job for one call on tiles of the plan's length; the picture is `shape`'s.
JobSpec decoder_job(const Decode& s, const LatentSpec& spec, const ClipSpec& clip,
                    const ClipShape& shape, const TileSpec& tiles);

// NaN and infinity are errors.
Status check_decoded(const Decode& s, std::span<const float> values);

// Takes finished output, in order.
using EmitValues = std::function<Status(std::span<float> values)>;

// Decodes one sample's latents (normalised; taken by value) piece by piece. Output goes out as soon
// as no later tile touches it: host memory is one tile's output and the overlap. NaN and infinity
// are errors.
Status decode_latents(const Decode& s, const LatentSpec& spec, std::vector<float> latents,
                      const Job& job, const SessionLease& lease, RunContext* c,
                      const EmitValues& emit);

// The same by a decoder with a `first`: each call's frames go out as they come; in tiles of rows
// and columns, all frames at the end.
Status decode_causally(const Decode& s, const LatentSpec& spec, std::vector<float> latents,
                       RunContext* c, const EmitValues& emit);

// Pixels of `height` rows of `stride` floats, cropped and rounded to u8 RGB.
void crop_to_bytes(const float* from, int64_t stride, const ClipShape& clip,
                   std::span<uint8_t> frame);

}  // namespace zoetrope
