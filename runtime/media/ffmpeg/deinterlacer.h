// Whole frames from interlaced ones, by libavfilter's bwdif: one for each, at the time of its first
// field. Frames that are progressive pass as they are.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "runtime/media/ffmpeg/common.h"

extern "C" {
#include <libavfilter/avfilter.h>
}

namespace zoetrope {

class Deinterlacer {
 public:
  // A frame, its time in seconds of the stream's clock (NaN: not known).
  using Use = std::function<Result<bool>(AVFrame& frame, double seconds)>;

  Deinterlacer(std::string path, AVRational time_base)
      : path_(std::move(path)), time_base_(time_base) {}

  // Keeps a reference to the frame, whose fields its neighbours complete: frames come out one late.
  // False when `use` wants no more.
  Result<bool> add(AVFrame* frame, const Use& use);
  // What is still held.
  Result<bool> finish(const Use& use);
  bool begun() const { return graph_ != nullptr; }

 private:
  struct FreeGraph {
    void operator()(AVFilterGraph* graph) const { avfilter_graph_free(&graph); }
  };

  Status start(const AVFrame& frame);
  Result<bool> drain(const Use& use);

  std::string path_;
  AVRational time_base_;
  std::unique_ptr<AVFilterGraph, FreeGraph> graph_;
  AVFilterContext *source_ = nullptr, *sink_ = nullptr;
  int width_ = 0, height_ = 0, format_ = -1;  // of the frames that graph_ is made for
};

bool is_interlaced(const AVFrame& frame);

}  // namespace zoetrope
