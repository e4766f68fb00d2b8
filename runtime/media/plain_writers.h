// Writers that need no library but zlib: PNG frames, WAV, Y4M. Each ignores the stream it cannot
// hold.
#pragma once

#include "runtime/media/clip_writer.h"

namespace zoetrope {

Result<std::unique_ptr<ClipWriter>> create_png_writer(const std::string& path,
                                                      const ClipFormat& format);
Result<std::unique_ptr<ClipWriter>> create_wav_writer(const std::string& path,
                                                      const ClipFormat& format);
Result<std::unique_ptr<ClipWriter>> create_y4m_writer(const std::string& path,
                                                      const ClipFormat& format);

}  // namespace zoetrope
