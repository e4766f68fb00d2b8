// What stages of pictures and sound share: encoding to normalised latents.
#pragma once

#include <span>

#include "runtime/engine/stage.h"

namespace zoetrope {

// (x - mean) / std and back, channels last, in place.
void normalize_latents(const LatentSpec& spec, std::span<float> latents);
void denormalize_latents(const LatentSpec& spec, std::span<float> latents);

// u8 to [-1, 1].
std::vector<float> pixels_to_floats(std::span<const uint8_t> pixels);

// An encoder's job for one clip of `frames` frames (or for all of the sound), named by `key`.
struct EncoderNames {
  std::string component, input, output;
};
JobSpec encoder_job(const EncoderNames& names, const LatentSpec& spec, const ClipSpec& clip,
                    const ClipShape& shape, int64_t frames);

// Runs it on floats and gives normalised latents.
Result<std::vector<float>> encode(const EncoderNames& names, const LatentSpec& spec,
                                  std::span<const float> media, const Job& job, RunContext* c);

// Whether given pixels are `frames` frames of the clip's size.
Status check_pixels(const char* what, const KnownFrames& known, const ClipShape& shape);

}  // namespace zoetrope
