// Decoded frames as sRGB pixels, as their tags say.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "runtime/media/ffmpeg/common.h"
#include "runtime/media/ffmpeg/icc.h"
#include "runtime/media/ffmpeg/input.h"
#include "runtime/media/resize.h"
#include "runtime/media/tone.h"

namespace zoetrope {

class RgbConverter {
 public:
  explicit RgbConverter(Rgb background) : background_(background) {}

  // [height, width, 3] of the frame as it is stored. `still`: from a picture file, where untagged
  // YUV is JPEG's BT.601. `coarse`: it will be made much smaller, so that single pixels hardly
  // count.
  Result<std::vector<uint8_t>> convert(const AVFrame& frame, bool still, bool coarse,
                                       PictureFrame::Alpha alpha);

  bool had_alpha() const { return had_alpha_; }
  // Why a profile was not applied, such as "of CMYK colours"; "" where it was, or there is none.
  const std::string& ignored_profile() const { return ignored_profile_; }
  // "PQ", "HLG" or "" when nothing was brought down.
  const std::string& hdr() const { return hdr_; }

 private:
  const IccTransform* profile_of(const AVFrame& frame);
  // `wide` [pixels, 3], 16 bits, as sRGB of 8 bits: as tagged, by its profile, or as it is.
  std::vector<uint8_t> managed(const AVFrame& frame, std::span<const uint16_t> wide,
                               const Light& light);

  Rgb background_;
  bool had_alpha_ = false;
  std::string hdr_, ignored_profile_;
  // Of the last frame that had one, and what is made of it; null: nothing to convert.
  std::vector<uint8_t> profile_;
  std::shared_ptr<const IccTransform> transform_;
};

// [height, width, 4], straight alpha, 8 bits.
Result<std::vector<uint8_t>> to_rgba(const AVFrame& frame);
// The same of 16 bits.
Result<std::vector<uint16_t>> to_rgba64(const AVFrame& frame);

}  // namespace zoetrope
