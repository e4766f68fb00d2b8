// Brings a clip's sound to a loudness, which is known when all of it has come.
#pragma once

#include <string>
#include <vector>

#include "runtime/engine/request.h"

namespace zoetrope {

class LoudnessSink : public ClipSink {
 public:
  // To `target` LUFS; 0: as it comes. Frames pass at once.
  LoudnessSink(double target, int rate, int channels, ClipSink& out)
      : target_(target), rate_(rate), channels_(channels), out_(out) {}

  Status frames(const uint8_t* pixels, int64_t count) override {
    return out_.frames(pixels, count);
  }
  Status audio(const float* samples, int64_t count) override;
  // Measures what came and passes it on. Afterwards notice() says what was done; empty: nothing.
  Status finish();
  const std::string& notice() const { return notice_; }

 private:
  const double target_;
  const int rate_, channels_;
  ClipSink& out_;
  std::vector<float> held_;
  std::string notice_;
};

}  // namespace zoetrope
