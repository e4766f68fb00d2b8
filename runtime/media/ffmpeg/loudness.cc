#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <span>

#include "runtime/media/ffmpeg/common.h"
#include "runtime/media/loudness.h"

extern "C" {
#include <libavfilter/avfilter.h>
#include <libavfilter/buffersink.h>
#include <libavfilter/buffersrc.h>
}

namespace zoetrope {
namespace {

constexpr int64_t kFrame = 1024;  // samples handed over at once

struct FreeGraph {
  void operator()(AVFilterGraph* graph) const { avfilter_graph_free(&graph); }
};

// The filter's figures so far, which it writes beside every tenth of a second.
void read_figures(const AVFrame& frame, int channels, Loudness* loudness) {
  const auto number = [&](const std::string& key, double* value) {
    const AVDictionaryEntry* entry = av_dict_get(frame.metadata, key.c_str(), nullptr, 0);
    if (entry == nullptr) return false;
    *value = std::strtod(entry->value, nullptr);
    return true;
  };
  number("lavfi.r128.I", &loudness->integrated);
  for (int c = 0; c < channels; ++c) {
    double peak = 0;
    if (number(str("lavfi.r128.true_peaks_ch", c), &peak) && peak > 0)
      loudness->true_peak = std::max(loudness->true_peak, 20 * std::log10(peak));
  }
}

class Meter {
 public:
  Meter(int rate, int channels) : rate_(rate), channels_(channels) {}

  Result<Loudness> measure(std::span<const float> samples) {
    ZT_RETURN_IF_ERROR(start());
    const auto count = static_cast<int64_t>(samples.size()) / channels_;
    for (int64_t at = 0; at < count; at += kFrame)
      ZT_RETURN_IF_ERROR(add(samples, at, std::min(kFrame, count - at)));
    const int code = av_buffersrc_add_frame_flags(source_, nullptr, 0);
    if (code < 0) return ffmpeg_error(code, kWhat);
    ZT_RETURN_IF_ERROR(drain());
    return loudness_;
  }

 private:
  static constexpr const char* kWhat = "cannot measure loudness";

  Status start() {
    graph_.reset(avfilter_graph_alloc());
    if (!graph_) return error(Code::kResourceExhausted, "no memory to measure loudness");
    graph_->nb_threads = 1;
    AVChannelLayout layout;
    av_channel_layout_default(&layout, channels_);
    char name[64] = "";
    av_channel_layout_describe(&layout, name, sizeof(name));
    const std::string arguments =
        str("time_base=1/", rate_, ":sample_rate=", rate_, ":sample_fmt=flt:channel_layout=", name);
    int code = avfilter_graph_create_filter(&source_, avfilter_get_by_name("abuffer"), "in",
                                            arguments.c_str(), nullptr, graph_.get());
    AVFilterContext *meter = nullptr, *sink = nullptr;
    if (code >= 0)
      code = avfilter_graph_create_filter(&meter, avfilter_get_by_name("ebur128"), "ebur128",
                                          "metadata=1:peak=true", nullptr, graph_.get());
    if (code >= 0)
      code = avfilter_graph_create_filter(&sink, avfilter_get_by_name("abuffersink"), "out",
                                          nullptr, nullptr, graph_.get());
    if (code >= 0) code = avfilter_link(source_, 0, meter, 0);
    if (code >= 0) code = avfilter_link(meter, 0, sink, 0);
    if (code >= 0) code = avfilter_graph_config(graph_.get(), nullptr);
    sink_ = sink;
    return code < 0 ? ffmpeg_error(code, kWhat) : Status();
  }

  Status add(std::span<const float> samples, int64_t at, int64_t count) {
    FramePtr frame(av_frame_alloc());
    if (!frame) return error(Code::kResourceExhausted, "no memory to measure loudness");
    frame->format = AV_SAMPLE_FMT_FLT;
    frame->sample_rate = rate_;
    frame->nb_samples = static_cast<int>(count);
    frame->pts = at;
    av_channel_layout_default(&frame->ch_layout, channels_);
    int code = av_frame_get_buffer(frame.get(), 0);
    if (code < 0) return ffmpeg_error(code, kWhat);
    std::copy_n(samples.begin() + at * channels_, count * channels_,
                reinterpret_cast<float*>(frame->data[0]));
    code = av_buffersrc_add_frame_flags(source_, frame.get(), 0);
    return code < 0 ? ffmpeg_error(code, kWhat) : drain();
  }

  Status drain() {
    while (true) {
      FramePtr frame(av_frame_alloc());
      if (!frame) return error(Code::kResourceExhausted, "no memory to measure loudness");
      const int code = av_buffersink_get_frame(sink_, frame.get());
      if (code == AVERROR(EAGAIN) || code == AVERROR_EOF) return Status();
      if (code < 0) return ffmpeg_error(code, kWhat);
      read_figures(*frame, channels_, &loudness_);
    }
  }

  const int rate_, channels_;
  std::unique_ptr<AVFilterGraph, FreeGraph> graph_;
  AVFilterContext *source_ = nullptr, *sink_ = nullptr;
  Loudness loudness_{-INFINITY, -INFINITY};
};

}  // namespace

Result<Loudness> measure_loudness_with_ffmpeg(std::span<const float> samples, int rate,
                                              int channels) {
  // Its log is for programs that show it.
  const int level = av_log_get_level();
  av_log_set_level(AV_LOG_QUIET);
  const MemoryWatch memory;
  auto measured = Meter(rate, channels).measure(samples);
  av_log_set_level(level);
  if (memory.refused(0)) return error(Code::kResourceExhausted, "no memory to measure loudness");
  return measured;
}

}  // namespace zoetrope
