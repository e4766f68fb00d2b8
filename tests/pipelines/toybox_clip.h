// The released Toybox, which the build has converted, and what its tests do with a clip.
#pragma once

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "runtime/backend/registry.h"
#include "runtime/engine/engine.h"
#include "tests/support/psnr.h"

namespace zoetrope::toybox_clip {

class Collect : public ClipSink {
 public:
  explicit Collect(const ClipRequest& clip) : frame_bytes_(clip.width * clip.height * 3) {}
  Status frames(const uint8_t* pixels, int64_t count) override {
    video.insert(video.end(), pixels, pixels + count * frame_bytes_);
    return Status();
  }
  Status audio(const float* samples, int64_t count) override {
    sound.insert(sound.end(), samples, samples + count * 2);
    return Status();
  }
  // [count, height, width, 3]
  std::vector<uint8_t> part(int64_t first, int64_t count) const {
    REQUIRE(static_cast<int64_t>(video.size()) >= (first + count) * frame_bytes_);
    return {video.begin() + first * frame_bytes_, video.begin() + (first + count) * frame_bytes_};
  }
  std::vector<uint8_t> video;
  std::vector<float> sound;

 private:
  const int64_t frame_bytes_;
};

inline std::unique_ptr<Engine> open_toybox(EngineOptions options) {
  auto engine = Engine::open(std::string(ZOETROPE_BINARY_DIR) + "/share/zoetrope/toybox.zoe",
                             std::move(options));
  REQUIRE_MESSAGE(engine.ok(), engine.status().message());
  return std::move(*engine);
}

// On one device, a component at a time.
inline std::unique_ptr<Engine> open_toybox(const std::string& device,
                                           const std::string& target = "") {
  EngineOptions options;
  options.devices.force_target = target;
  options.placement.device = device;
  options.keep_sessions = false;
  return open_toybox(std::move(options));
}

inline Request short_clip() {
  Request options;
  options.prompt = "a small red star bounces on a blue floor";
  options.clip = {.width = 64, .height = 64, .frames = 9};
  options.steps = 2;
  options.seed = 5;
  return options;
}

inline Collect make(Engine& engine, const Request& options) {
  Collect clip(options.clip);
  const auto stats = engine.run(options, clip);
  REQUIRE_MESSAGE(stats.ok(), stats.status().message());
  CHECK(std::llabs(stats->peak_bytes - stats->planned_peak_bytes) * 100 <=
        stats->planned_peak_bytes);
  return clip;
}

}  // namespace zoetrope::toybox_clip
