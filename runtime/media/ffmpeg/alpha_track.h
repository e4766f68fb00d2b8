// The transparency of an animated AVIF or HEIC: gray pictures in a track beside the colours'.
#pragma once

#include <memory>
#include <string>

#include "runtime/media/ffmpeg/common.h"

namespace zoetrope {

class AlphaTrack {
 public:
  // kUnsupported: FFmpeg does not show such a track.
  static Result<std::unique_ptr<AlphaTrack>> open(const std::string& path);

  // The stream of the colours, which come in the same file.
  int colours() const { return colours_; }

  // The next frame of the colours with its transparency; frames come in order.
  Result<FramePtr> join(const AVFrame& colours);

 private:
  AlphaTrack(const std::string& path, InputPtr input, int colours, int alpha)
      : path_(path), input_(std::move(input)), colours_(colours), alpha_(alpha) {}
  Status start();
  // False: there are no more.
  Result<bool> next();

  std::string path_;
  InputPtr input_;
  int colours_, alpha_;
  CodecContextPtr decoder_;
  PacketPtr packet_;
  FramePtr frame_;
  bool decoded_ = false, flushing_ = false;
};

}  // namespace zoetrope
