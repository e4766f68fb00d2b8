// Encodes what is known of a clip into normalised latents and masks.
#pragma once

#include "runtime/pipeline/generate.h"

namespace zoetrope {

// Runs the encoder phases of `plan`. Errors name the input that does not fit the clip.
Result<KnownTensors> encode_known(const Model& model, const PipelinePlan& plan,
                                  const KnownMedia& known, Device& device);

// (x - mean) / std and back, channels last, in place.
void normalize_latents(const FlatLatents& spec, std::span<float> latents);
void denormalize_latents(const FlatLatents& spec, std::span<float> latents);

}  // namespace zoetrope
