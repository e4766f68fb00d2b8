// A stream that goes into a clip as it is: packets, without decoding.
#pragma once

#include <memory>

#include "runtime/media/ffmpeg/common.h"

namespace zoetrope {

class StreamCopier {
 public:
  // Null where the file's container or codec does not go into `output`: it must be encoded then.
  // Otherwise adds the stream to `output`, with its shape, colours and orientation.
  static Result<std::unique_ptr<StreamCopier>> open(const std::string& path, AVMediaType type,
                                                    AVFormatContext* output);

  // All packets into the muxer's queue, which sorts them among the others. Times begin where the
  // file's own clock does; sound that lasts longer than `seconds` is cut there.
  Status copy(double seconds);
  std::string description() const;

 private:
  StreamCopier(std::string path, InputPtr input, int index, AVFormatContext* output, int to)
      : path_(std::move(path)), input_(std::move(input)), index_(index), output_(output), to_(to) {}

  std::string path_;
  InputPtr input_;
  int index_;
  AVFormatContext* output_;
  int to_;
};

}  // namespace zoetrope
