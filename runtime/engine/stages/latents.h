// What stages of pictures and sound share: encoding to normalised latents.
#pragma once

#include <functional>
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
  std::string component, input, output, first = "";
  Reduced reduced = {};  // of the clip's rows and columns, to which frames are made smaller
};
JobSpec encoder_job(const EncoderNames& names, const LatentSpec& spec, const ClipSpec& clip,
                    const ClipShape& shape, int64_t frames);

// Runs it on floats and gives normalised latents.
Result<std::vector<float>> encode(const EncoderNames& names, const LatentSpec& spec,
                                  std::span<const float> media, const Job& job, RunContext* c);

// Whether an encoder of pictures fits the recipe, for clips of these lengths.
Status check_frame_encoder(const EncoderNames& names, const LatentSpec& spec,
                           const std::vector<int64_t>& frames, CheckContext* context);
// Its job or jobs for a clip of `frames` frames, planned once a length.
Status plan_frame_encoder(const EncoderNames& names, const LatentSpec& spec, int64_t frames,
                          PlanContext* context);
// Fills `pixels` with frames [first, first + count), [count, height, width, 3] in [-1, 1].
using FrameSource = std::function<void(int64_t first, int64_t count, std::span<float> pixels)>;
// Normalised latents of such a clip. With `first` few frames are asked for at a time, in order
// (again for each tile), and the last latent's beyond the clip.
Result<std::vector<float>> encode_frames(const EncoderNames& names, const LatentSpec& spec,
                                         int64_t frames, const FrameSource& source, RunContext* c);

// Given frames, the last one repeated beyond them.
FrameSource frames_from(const KnownFrames& known, const ClipShape& shape);

// Whether given pixels are `frames` frames of the clip's size.
Status check_pixels(const char* what, const KnownFrames& known, const ClipShape& shape);

// A frame of its own among the latents. The last frame of a clip is one too, where the model takes
// any.
struct GivenKey {
  std::span<const uint8_t> pixels;
  int64_t frame;
  double strength;
};
std::vector<GivenKey> given_keys(const KnownMedia& known, const ClipShape& clip);

// Frames that a request gives, and where they stand.
struct GivenFrames {
  const KnownFrames* frames;
  const char* what;  // for messages
  bool at_end;
};
std::vector<GivenFrames> given_frames(const KnownMedia& known);

// Where each frame's pixels are; null: unknown. Checks that they are of the clip's size.
Result<std::vector<const uint8_t*>> find_frames(const KnownMedia& known, const ClipShape& clip);

// What to say where the first frame is not given.
Status require_first_frame(const KnownMedia& known);

}  // namespace zoetrope
