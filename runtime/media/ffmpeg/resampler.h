// Sound to another rate and number of channels.
#pragma once

#include <functional>

#include "runtime/media/ffmpeg/common.h"

namespace zoetrope {

// Takes interleaved samples; false: no more are wanted.
using TakeSamples = std::function<bool(const float* samples, int64_t count)>;

// Frames of any shape, which may change from one to the next, to interleaved float. The filter is
// 64 taps wide with a Kaiser window (beta 12): what would alias is 100 dB down, and tones up to 0.9
// of the lower Nyquist frequency keep their level. One channel as two is the same in both; two as
// one is their mean; more are folded so that full scale stays full scale.
class Resampler {
 public:
  // Rate 0, channels 0: as the first frame has them.
  Resampler(std::string path, int rate, int channels)
      : path_(std::move(path)), rate_(rate), channels_(channels) {}

  // False when `take` wants no more.
  Result<bool> add(const AVFrame& frame, const TakeSamples& take);
  // What the filter still holds; afterwards it begins anew.
  Status finish(const TakeSamples& take);
  // Seconds of sound inside the filter.
  double held() const {
    return swr_ ? static_cast<double>(swr_get_delay(swr_.get(), 1000000)) / 1e6 : 0;
  }

  int rate() const { return rate_; }
  int channels() const { return channels_; }

 private:
  Status start(const AVFrame& frame);
  Result<bool> convert(const uint8_t** planes, int count, const TakeSamples& take);

  std::string path_;
  int rate_, channels_;
  ResamplerPtr swr_;
  // Of the frames that swr_ is made for.
  int in_rate_ = 0, in_format_ = -1;
  AVChannelLayout in_layout_ = {};
};

}  // namespace zoetrope
