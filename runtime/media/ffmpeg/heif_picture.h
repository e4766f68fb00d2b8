// HEIC and AVIF pictures, by libheif: whole or of tiles, turned as they say, with their
// transparency.
#pragma once

#include <string>

#include "runtime/media/ffmpeg/input.h"

namespace zoetrope {

// The picture that the file at `path` shows first.
Status use_heif_picture(const std::string& path, const UsePicture& use);

}  // namespace zoetrope
