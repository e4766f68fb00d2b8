// What every stage of a run made, in a few numbers each: the middle of a receipt, and what two
// devices' runs are compared by.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "runtime/engine/request.h"
#include "runtime/verify/sketch.h"

namespace zoetrope {

struct StageRecord {
  std::string stage;  // "encode_text", "denoise", "frames", "sound"
  std::string name;   // of the value, "noise", "step 3", ...
  int step = 0;       // of denoising; 0: not after a step
  Sketch sketch;
};

// Between the engine and a sink: notes frames and sound as they pass, and keeps them if asked.
class StageLog : public ClipSink {
 public:
  // `out` may be null. `samples`: elements kept of each value.
  StageLog(ClipSink* out, int64_t samples, bool keep_clip)
      : out_(out), samples_(samples), keep_(keep_clip) {}

  // Before the run: bytes of a frame, channels of sound.
  void begin(int64_t frame_bytes, int channels) {
    frame_bytes_ = frame_bytes;
    channels_ = channels;
  }
  // What a run that goes on had made before. A stage that is made again takes its own record's
  // place.
  void go_on_from(std::vector<StageRecord> records) {
    records_ = std::move(records);
    goes_on_ = true;
  }
  // For RunHooks::observe.
  Status observe(const Observation& made);

  Status frames(const uint8_t* pixels, int64_t count) override;
  Status audio(const float* samples, int64_t count) override;

  // After the run: all stages, frames and sound last.
  std::vector<StageRecord> records() const;
  const std::vector<uint8_t>& pixels() const { return pixels_; }
  const std::vector<float>& sound() const { return sound_; }
  int64_t frame_count() const { return frame_count_; }

 private:
  // A stream of bytes, hashed piece by piece.
  struct Stream {
    std::vector<uint8_t> digests;  // of its pieces, 8 bytes each
    int64_t elements = 0;
    double squares = 0;
  };
  StageRecord finish(const Stream& stream, const char* stage) const;

  ClipSink* const out_;
  const int64_t samples_;
  const bool keep_;
  int64_t frame_bytes_ = 0, frame_count_ = 0;
  int channels_ = 0;
  bool goes_on_ = false;
  std::vector<StageRecord> records_;
  Stream video_, audio_;
  std::vector<float> pending_;  // sound that does not fill a piece yet
  std::vector<uint8_t> pixels_;
  std::vector<float> sound_;
};

}  // namespace zoetrope
