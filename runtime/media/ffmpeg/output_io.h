// FFmpeg's writing through an OutputFile.
#pragma once

#include <optional>

#include "graph/format/output_file.h"
#include "runtime/media/ffmpeg/common.h"

namespace zoetrope {

class OutputIo {
 public:
  ~OutputIo();
  Status open(const std::string& path);
  AVIOContext* context() { return context_; }
  OutputFile& file() { return *file_; }
  // The first error of the file since open(), which FFmpeg knows only as a number.
  const Status& status() const { return status_; }

 private:
  friend struct OutputIoCallbacks;
  std::optional<OutputFile> file_;
  AVIOContext* context_ = nullptr;
  int64_t position_ = 0, end_ = 0;
  Status status_;
};

}  // namespace zoetrope
