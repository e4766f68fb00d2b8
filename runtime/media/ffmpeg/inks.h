// Pictures of four inks (CMYK). FFmpeg's decoders multiply them into RGB, which their profile does
// not fit any more: the inks are kept here.
#pragma once

#include <optional>
#include <span>
#include <string>

#include "runtime/media/ffmpeg/input.h"

namespace zoetrope {

// A four-colour JPEG or TIFF in sRGB, by its profile; JPEG without a usable one by the product of
// its inks, as others do. None: no such picture, or a TIFF without a usable profile, which
// FFmpeg multiplies rightly. `decoded` is what FFmpeg makes of `bytes`, with the profile.
Result<std::optional<FramePtr>> picture_of_inks(std::span<const uint8_t> bytes, AVCodecID id,
                                                const std::string& path, const AVFrame& decoded);

}  // namespace zoetrope
