#include "runtime/media/ffmpeg/resampler.h"

#include <algorithm>

namespace zoetrope {
namespace {

constexpr int kPiece = 1 << 15;  // samples a channel that leave in one step
constexpr int kMaxChannels = 64;
constexpr int kMaxRate = 6144000;  // Hz; filters from higher ones take hundreds of MiB

}  // namespace

Status Resampler::start(const AVFrame& frame) {
  if (frame.sample_rate <= 0 || frame.ch_layout.nb_channels <= 0 ||
      frame.ch_layout.nb_channels > kMaxChannels)
    return error(Code::kDataLoss, path_, ": sound of ", frame.ch_layout.nb_channels,
                 " channels at ", frame.sample_rate, " Hz");
  if (frame.sample_rate > kMaxRate)
    return error(Code::kUnsupported, path_, ": sound at ", frame.sample_rate, " Hz; at most ",
                 kMaxRate, " Hz are read");
  if (rate_ == 0) rate_ = frame.sample_rate;
  if (channels_ == 0) channels_ = std::min(frame.ch_layout.nb_channels, 2);
  const MemoryWatch memory;
  in_rate_ = frame.sample_rate;
  in_format_ = frame.format;
  av_channel_layout_copy(&in_layout_, &frame.ch_layout);
  AVChannelLayout from = {}, to = {};
  av_channel_layout_default(&to, channels_);
  if (frame.ch_layout.order == AV_CHANNEL_ORDER_UNSPEC)
    av_channel_layout_default(&from, frame.ch_layout.nb_channels);
  else
    av_channel_layout_copy(&from, &frame.ch_layout);
  SwrContext* swr = nullptr;
  int code =
      swr_alloc_set_opts2(&swr, &to, AV_SAMPLE_FMT_FLT, rate_, &from,
                          static_cast<AVSampleFormat>(frame.format), frame.sample_rate, 0, nullptr);
  swr_.reset(swr);
  if (code >= 0) {
    av_opt_set_int(swr, "filter_size", 64, 0);
    av_opt_set_int(swr, "filter_type", SWR_FILTER_TYPE_KAISER, 0);
    av_opt_set_double(swr, "kaiser_beta", 12, 0);
    av_opt_set_double(swr, "cutoff", 0.95, 0);
    av_opt_set_int(swr, "internal_sample_fmt", AV_SAMPLE_FMT_FLTP, 0);
    av_opt_set_double(swr, "rematrix_maxval", 1, 0);
    const int in = from.nb_channels;
    const double same[] = {1, 1}, mean[] = {0.5, 0.5};
    if (in == 1 && channels_ == 2) code = swr_set_matrix(swr, same, 1);
    if (in == 2 && channels_ == 1) code = swr_set_matrix(swr, mean, 2);
  }
  if (code >= 0) code = swr_init(swr);
  av_channel_layout_uninit(&from);
  if (memory.refused(code)) return no_memory_to_read(path_);
  return code < 0 ? ffmpeg_error(code, "cannot resample " + path_) : Status();
}

Result<bool> Resampler::convert(const uint8_t** planes, int count, const TakeSamples& take) {
  std::vector<float> out(static_cast<size_t>(kPiece) * static_cast<size_t>(channels_));
  uint8_t* to[] = {reinterpret_cast<uint8_t*>(out.data())};
  const MemoryWatch memory;
  const int n = swr_convert(swr_.get(), to, kPiece, planes, count);
  if (memory.refused(n)) return no_memory_to_read(path_);
  if (n < 0) return ffmpeg_error(n, "cannot resample " + path_);
  return n == 0 || take(out.data(), n);
}

Result<bool> Resampler::add(const AVFrame& frame, const TakeSamples& take) {
  const bool changed = in_rate_ != frame.sample_rate || in_format_ != frame.format ||
                       av_channel_layout_compare(&in_layout_, &frame.ch_layout) != 0;
  if (!swr_ || changed) {
    if (swr_) ZT_RETURN_IF_ERROR(finish(take));
    ZT_RETURN_IF_ERROR(start(frame));
  }
  // In slices that fill at most half a piece, so that a file of a very low rate does not become
  // gigabytes at once, and nothing gathers in the filter.
  const int64_t slice = std::max<int64_t>(1, int64_t{kPiece} / 2 * in_rate_ / rate_);
  const auto format = static_cast<AVSampleFormat>(frame.format);
  const bool planar = av_sample_fmt_is_planar(format) != 0;
  const int channels = frame.ch_layout.nb_channels;
  const int64_t step = int64_t{av_get_bytes_per_sample(format)} * (planar ? 1 : channels);
  for (int64_t at = 0; at < frame.nb_samples; at += slice) {
    const uint8_t* planes[kMaxChannels] = {};
    for (int c = 0; c < (planar ? channels : 1); ++c)
      planes[c] = frame.extended_data[c] + at * step;
    const auto count = static_cast<int>(std::min<int64_t>(slice, frame.nb_samples - at));
    ZT_ASSIGN_OR_RETURN(const bool more, convert(planes, count, take));
    if (!more) return false;
  }
  return true;
}

Status Resampler::finish(const TakeSamples& take) {
  if (!swr_) return Status();
  std::vector<float> out(static_cast<size_t>(kPiece) * static_cast<size_t>(channels_));
  uint8_t* to[] = {reinterpret_cast<uint8_t*>(out.data())};
  while (true) {
    const MemoryWatch memory;
    const int n = swr_convert(swr_.get(), to, kPiece, nullptr, 0);
    if (memory.refused(n)) return no_memory_to_read(path_);
    if (n < 0) return ffmpeg_error(n, "cannot resample " + path_);
    if (n == 0 || !take(out.data(), n)) break;
  }
  swr_.reset();
  return Status();
}

}  // namespace zoetrope
