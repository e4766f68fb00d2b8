// What a clip will look like, while it is being made: each latent of the picture becomes one pixel,
// by a linear map that least squares have fitted to the model's own decoder.
#pragma once

#include <cstdint>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include "runtime/engine/engine.h"

namespace zoetrope {

struct PreviewFrames {
  std::vector<uint8_t> pixels;  // [count, height, width, 3] RGB
  int64_t count = 0, width = 0, height = 0;
};

class Preview {
 public:
  // Decodes synthetic latents once, at a small size; waits for its turn as any run.
  // kUnsupported where the model makes no picture, or denoises it in several sizes.
  static Result<Preview> fit(Engine& engine, std::stop_token stop = {});

  // At most `most` frames, evenly over the clip, of the first sample. `latents`: as
  // RunHooks::denoised has them.
  PreviewFrames draw(const RequestPlan& plan, std::span<const float> latents, int64_t most) const;

  // The fit as JSON, to be kept beside the model's digest, and back: kDataLoss where it is not of
  // this model.
  std::string to_json() const;
  static Result<Preview> from_json(const Recipe& recipe, std::string_view json);

 private:
  explicit Preview(const Recipe& recipe);
  // Where the picture's latents of the first sample lie among all streams'.
  std::span<const float> picture(const RequestPlan& plan, std::span<const float> latents) const;

  const Recipe& recipe_;
  const LatentSpec* spec_;
  std::vector<float> map_;  // [channels + 1, 3]: of normalised latents and of 1, to 0 ... 255
};

}  // namespace zoetrope
