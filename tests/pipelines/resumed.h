// Runs that stop after a step and go on: what tests of it share.
#pragma once

#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <vector>

#include "runtime/engine/engine.h"

namespace zoetrope::resumed {

using Points = std::vector<std::shared_ptr<const ResumePoint>>;

// Keeps whatever a pipeline gives.
class Output : public ClipSink {
 public:
  explicit Output(int64_t frame_bytes) : frame_bytes_(frame_bytes) {}
  Status frames(const uint8_t* pixels, int64_t count) override {
    video.insert(video.end(), pixels, pixels + count * frame_bytes_);
    return Status();
  }
  Status audio(const float* samples, int64_t count) override {
    sound.insert(sound.end(), samples, samples + 2 * count);
    return Status();
  }
  bool operator==(const Output& other) const {
    return video == other.video && sound == other.sound;
  }
  std::vector<uint8_t> video;
  std::vector<float> sound;

 private:
  int64_t frame_bytes_;
};

inline int64_t frame_bytes(Engine& engine, const Request& request) {
  const auto shape = resolve_clip_shape(engine.model().recipe, request.clip);
  REQUIRE_MESSAGE(shape.ok(), shape.status().message());
  return shape->width * shape->height * 3;
}

// Runs a request; every state that it comes by goes to `points`, where that is given.
inline Output run(Engine& engine, const Request& request, Points* points = nullptr) {
  Output output(frame_bytes(engine, request));
  RunHooks hooks;
  if (points != nullptr)
    hooks.state = [&](const DenoiseState& state, const StageValues& values) {
      points->push_back(std::make_shared<ResumePoint>(ResumePoint{state, values}));
      return Status();
    };
  const auto stats = engine.run(request, output, hooks);
  REQUIRE_MESSAGE(stats.ok(), stats.status().message());
  return output;
}

inline bool same(const DenoiseState& a, const DenoiseState& b) {
  return a.step == b.step && a.steps == b.steps && a.first == b.first && a.latents == b.latents &&
         a.solver.starts == b.solver.starts && a.solver.before == b.solver.before;
}

inline Request from(Request request, std::shared_ptr<const ResumePoint> point) {
  request.resume = std::move(point);
  return request;
}

// Whether a request that goes on from any of its steps, in an engine of its own, comes by the same
// states and ends with the same bits. `open()` gives an engine; `steps` are expected.
template <typename Open>
void check_resumes(const Open& open, const Request& request, size_t steps) {
  Points points;
  const Output whole = run(*open(), request, &points);
  REQUIRE(points.size() == steps + 1);
  for (size_t i = 0; i < points.size(); ++i) {
    CAPTURE(i);
    const auto engine = open();
    Points rest;
    CHECK(run(*engine, from(request, points[i]), &rest) == whole);
    REQUIRE(rest.size() == points.size() - i);
    for (size_t k = 0; k < rest.size(); ++k) CHECK(same(rest[k]->state, points[i + k]->state));
    // What stages gave before may be made again.
    ResumePoint bare{points[i]->state, {}};
    if (i == 1) CHECK(run(*engine, from(request, std::make_shared<ResumePoint>(bare))) == whole);
  }
}

}  // namespace zoetrope::resumed
