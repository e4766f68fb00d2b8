#include "runtime/media/ffmpeg/deinterlacer.h"

#include <algorithm>
#include <cmath>

extern "C" {
#include <libavfilter/buffersink.h>
#include <libavfilter/buffersrc.h>
}

namespace zoetrope {

bool is_interlaced(const AVFrame& frame) {
#if LIBAVUTIL_VERSION_INT < AV_VERSION_INT(58, 7, 100)
  return frame.interlaced_frame != 0;
#else
  return (frame.flags & AV_FRAME_FLAG_INTERLACED) != 0;
#endif
}

Status Deinterlacer::start(const AVFrame& frame) {
  const MemoryWatch memory;
  graph_.reset(avfilter_graph_alloc());
  if (!graph_) return no_memory_to_read(path_);
  graph_->nb_threads = 1;
  const AVRational aspect = frame.sample_aspect_ratio;
  const std::string arguments =
      str("video_size=", frame.width, "x", frame.height, ":pix_fmt=", frame.format,
          ":time_base=", time_base_.num, "/", time_base_.den, ":pixel_aspect=", aspect.num, "/",
          std::max(aspect.den, 1));
  int code = avfilter_graph_create_filter(&source_, avfilter_get_by_name("buffer"), "in",
                                          arguments.c_str(), nullptr, graph_.get());
  AVFilterContext* filter = nullptr;
  if (code >= 0)
    code = avfilter_graph_create_filter(&filter, avfilter_get_by_name("bwdif"), "bwdif",
                                        "mode=send_frame:parity=auto:deint=interlaced", nullptr,
                                        graph_.get());
  if (code >= 0)
    code = avfilter_graph_create_filter(&sink_, avfilter_get_by_name("buffersink"), "out", nullptr,
                                        nullptr, graph_.get());
  if (code >= 0) code = avfilter_link(source_, 0, filter, 0);
  if (code >= 0) code = avfilter_link(filter, 0, sink_, 0);
  if (code >= 0) code = avfilter_graph_config(graph_.get(), nullptr);
  width_ = frame.width;
  height_ = frame.height;
  format_ = frame.format;
  if (memory.refused(code)) return no_memory_to_read(path_);
  return code < 0 ? ffmpeg_error(code, "cannot deinterlace " + path_) : Status();
}

Result<bool> Deinterlacer::add(AVFrame* frame, const Use& use) {
  if (graph_ && (frame->width != width_ || frame->height != height_ || frame->format != format_)) {
    ZT_ASSIGN_OR_RETURN(const bool more, finish(use));
    if (!more) return false;
  }
  if (!graph_) ZT_RETURN_IF_ERROR(start(*frame));
  frame->pts = frame->best_effort_timestamp;
  const int code = av_buffersrc_add_frame_flags(source_, frame, AV_BUFFERSRC_FLAG_KEEP_REF);
  if (code < 0) return ffmpeg_error(code, "cannot deinterlace " + path_);
  return drain(use);
}

Result<bool> Deinterlacer::finish(const Use& use) {
  if (!graph_) return true;
  const int code = av_buffersrc_add_frame_flags(source_, nullptr, 0);
  if (code < 0) return ffmpeg_error(code, "cannot deinterlace " + path_);
  auto more = drain(use);
  graph_.reset();
  return more;
}

Result<bool> Deinterlacer::drain(const Use& use) {
  const double tick = av_q2d(av_buffersink_get_time_base(sink_));
  while (true) {
    FramePtr frame(av_frame_alloc());
    if (!frame) return no_memory_to_read(path_);
    const MemoryWatch memory;
    const int code = av_buffersink_get_frame(sink_, frame.get());
    if (memory.refused(code)) return no_memory_to_read(path_);
    if (code == AVERROR(EAGAIN) || code == AVERROR_EOF) return true;
    if (code < 0) return ffmpeg_error(code, "cannot deinterlace " + path_);
    const double seconds =
        frame->pts == AV_NOPTS_VALUE ? NAN : static_cast<double>(frame->pts) * tick;
    ZT_ASSIGN_OR_RETURN(const bool more, use(*frame, seconds));
    if (!more) return false;
  }
}

}  // namespace zoetrope
