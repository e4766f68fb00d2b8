// FFmpeg's writing through an OutputFile.
#pragma once

#include <optional>
#include <string>

#include "graph/format/output_file.h"
#include "runtime/media/ffmpeg/common.h"

namespace zoetrope {

class OutputIo {
 public:
  ~OutputIo();
  Status open(const std::string& path);
  // Of formats that end with a byte of their own, what comes just before that byte; for files that
  // are written from front to back.
  void put_before_last_byte(std::string bytes) { insertion_ = std::move(bytes); }
  // Writes what was held back. After the last byte has come.
  Status finish();
  AVIOContext* context() { return context_; }
  OutputFile& file() { return *file_; }
  // The first error of the file since open(), which FFmpeg knows only as a number.
  const Status& status() const { return status_; }

 private:
  friend struct OutputIoCallbacks;
  Status put(const uint8_t* bytes, size_t count);

  std::optional<OutputFile> file_;
  AVIOContext* context_ = nullptr;
  int64_t position_ = 0, end_ = 0;
  Status status_;
  std::string insertion_;
  std::optional<uint8_t> held_;  // the last byte so far, where there is something to insert
};

}  // namespace zoetrope
