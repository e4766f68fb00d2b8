// Decoded frames as sRGB pixels, as their tags say.
#pragma once

#include <string>
#include <vector>

#include "runtime/media/ffmpeg/common.h"
#include "runtime/media/resize.h"

namespace zoetrope {

class RgbConverter {
 public:
  explicit RgbConverter(Rgb background) : background_(background) {}

  // [height, width, 3] of the frame as it is stored. `still`: from a picture file, where untagged
  // YUV is JPEG's BT.601. `coarse`: it will be made much smaller, so that single pixels hardly
  // count.
  Result<std::vector<uint8_t>> convert(const AVFrame& frame, bool still, bool coarse);

  bool had_alpha() const { return had_alpha_; }
  // "PQ", "HLG" or "" when nothing was brought down.
  const std::string& hdr() const { return hdr_; }

 private:
  Rgb background_;
  bool had_alpha_ = false;
  std::string hdr_;
};

// [height, width, 4], straight alpha, 8 bits.
Result<std::vector<uint8_t>> to_rgba(const AVFrame& frame);

}  // namespace zoetrope
