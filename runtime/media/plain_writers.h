// Writers that need no library but zlib: PNG frames, WAV, Y4M. Each ignores the stream it cannot
// hold.
#pragma once

#include "runtime/media/clip_writer.h"

namespace zoetrope {

// The name of frame `index`, from 1: frame 7 of "out/%03d.png" is "out/007.png"; without a pattern
// "clip.png" gives "clip-0007.png", or itself when it is the only one.
Result<std::string> png_frame_path(const std::string& path, int64_t index, bool single);

Result<std::unique_ptr<ClipWriter>> create_png_writer(const std::string& path,
                                                      const ClipFormat& format);
Result<std::unique_ptr<ClipWriter>> create_wav_writer(const std::string& path,
                                                      const ClipFormat& format);
Result<std::unique_ptr<ClipWriter>> create_y4m_writer(const std::string& path,
                                                      const ClipFormat& format);

}  // namespace zoetrope
