// A caller's callbacks as the hooks and the sink of a run.
#pragma once

#include <chrono>
#include <memory>
#include <span>
#include <stop_token>
#include <string_view>
#include <vector>

#include "include/zoetrope.h"
#include "runtime/engine/preview.h"
#include "runtime/engine/remaining.h"
#include "runtime/engine/request.h"

namespace zoetrope {

class Callbacks {
 public:
  // NULL: nobody listens. The token's state is held from here on.
  static Result<Callbacks> create(const zoetrope_callbacks* given);

  // What a plan expects, from now on: for the time left.
  void expect(std::vector<ExpectedTask> tasks);
  // False cancels.
  bool progress(std::string_view task, double done, double total);
  void notice(const std::string& text);
  Status frames(const uint8_t* pixels, int64_t count, int64_t width, int64_t height) const;
  Status audio(const float* samples, int64_t count, int channels, int rate) const;
  bool previews() const { return calls_.preview != nullptr; }
  void preview(const Preview& fitted, const RequestPlan& plan, std::span<const float> latents,
               int step);

  // All of them; `this` must live as long.
  RunHooks hooks();
  std::stop_token stop() const { return source_ ? source_->get_token() : std::stop_token(); }

 private:
  Callbacks() = default;
  zoetrope_callbacks calls_{};
  std::shared_ptr<std::stop_source> source_;
  RemainingTime remaining_{{}};
  std::chrono::steady_clock::time_point begun_ = std::chrono::steady_clock::now();
  bool expects_ = false, stopped_ = false;
};

// Frames and sound of one clip.
class CallbackSink : public ClipSink {
 public:
  // Both are kept by reference.
  CallbackSink(const Callbacks& calls, const Recipe& recipe, int64_t width, int64_t height)
      : calls_(calls), clip_(recipe.clip), width_(width), height_(height) {}
  Status frames(const uint8_t* pixels, int64_t count) override {
    return calls_.frames(pixels, count, width_, height_);
  }
  Status audio(const float* samples, int64_t count) override {
    return calls_.audio(samples, count, clip_.sound_channels, clip_.sample_rate);
  }

 private:
  const Callbacks& calls_;
  const ClipSpec& clip_;
  const int64_t width_, height_;
};

}  // namespace zoetrope
