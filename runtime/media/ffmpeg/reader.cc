#include <algorithm>
#include <cmath>
#include <deque>

#include "runtime/media/ffmpeg/common.h"
#include "runtime/media/ffmpeg/module.h"

namespace zoetrope {
namespace {

constexpr int64_t kMaxPixels = 1 << 28;  // of one decoded frame
constexpr int64_t kMaxFrames = 1 << 20;

// Demuxers of single files; playlists and scripts (hls, concat, dash, ...) are left out on purpose.
constexpr const char* kFormats =
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,gif,apng,yuv4mpegpipe,mpegts,mpeg,ogg,flv,"
    "wav,w64,aiff,flac,mp3,aac,caf,au,png_pipe,jpeg_pipe,webp_pipe,bmp_pipe,tiff_pipe,"
    "gif_pipe,pgm_pipe,ppm_pipe,pam_pipe,qoi_pipe,jpegxl_pipe,exr_pipe,hdr_pipe";

// Decodes one stream of a file from its begin and hands every frame to `use`; false ends.
template <typename Use>
Status decode_stream(const std::string& path, AVMediaType type, const Use& use) {
  AVFormatContext* raw = nullptr;
  // Files only, however the path looks, and no playlist that would open others.
  AVDictionary* options = nullptr;
  av_dict_set(&options, "protocol_whitelist", "file", 0);
  av_dict_set(&options, "format_whitelist", kFormats, 0);
  int code = avformat_open_input(&raw, ("file:" + path).c_str(), nullptr, &options);
  av_dict_free(&options);
  if (code < 0) return ffmpeg_error(code, "cannot read " + path);
  InputPtr input(raw);
  code = avformat_find_stream_info(input.get(), nullptr);
  if (code < 0) return ffmpeg_error(code, "cannot read " + path);
  const AVCodec* codec = nullptr;
  const int index = av_find_best_stream(input.get(), type, -1, -1, &codec, 0);
  if (index < 0 || codec == nullptr)
    return error(Code::kDataLoss, path, " has no ",
                 type == AVMEDIA_TYPE_VIDEO ? "picture" : "sound",
                 " that this FFmpeg build can decode");
  AVStream* stream = input->streams[index];
  CodecContextPtr decoder(avcodec_alloc_context3(codec));
  if (!decoder) return error(Code::kResourceExhausted, "no memory");
  decoder->max_pixels = kMaxPixels;
  code = avcodec_parameters_to_context(decoder.get(), stream->codecpar);
  if (code >= 0) code = avcodec_open2(decoder.get(), codec, nullptr);
  if (code < 0) return ffmpeg_error(code, "cannot decode " + path);
  PacketPtr packet(av_packet_alloc());
  FramePtr frame(av_frame_alloc());
  for (bool flushing = false;;) {
    if (!flushing) {
      code = av_read_frame(input.get(), packet.get());
      flushing = code < 0;
      if (!flushing && packet->stream_index != index) {
        av_packet_unref(packet.get());
        continue;
      }
    }
    code = avcodec_send_packet(decoder.get(), flushing ? nullptr : packet.get());
    av_packet_unref(packet.get());
    if (code < 0 && code != AVERROR_EOF && code != AVERROR(EAGAIN))
      return ffmpeg_error(code, "cannot decode " + path);
    while ((code = avcodec_receive_frame(decoder.get(), frame.get())) >= 0) {
      auto more = use(*frame, *stream);
      if (!more.ok()) return more.status();
      if (!*more) return Status();
    }
    if (code == AVERROR_EOF) return Status();
    if (code != AVERROR(EAGAIN)) return ffmpeg_error(code, "cannot decode " + path);
  }
}

// Scaled to cover the target and cropped at the centre.
Result<std::vector<uint8_t>> to_rgb(const AVFrame& frame, int64_t width, int64_t height) {
  const double scale = std::max(static_cast<double>(width) / frame.width,
                                static_cast<double>(height) / frame.height);
  const auto w = std::max<int64_t>(width, std::llround(frame.width * scale));
  const auto h = std::max<int64_t>(height, std::llround(frame.height * scale));
  if (w * h > kMaxPixels) return error(Code::kInvalidArgument, "the picture is too thin to scale");
  ScalerPtr scaler(sws_getContext(
      frame.width, frame.height, static_cast<AVPixelFormat>(frame.format), static_cast<int>(w),
      static_cast<int>(h), AV_PIX_FMT_RGB24, SWS_BICUBIC | SWS_ACCURATE_RND | SWS_FULL_CHR_H_INP,
      nullptr, nullptr, nullptr));
  if (!scaler) return error(Code::kUnsupported, "a pixel format that cannot be converted");
  std::vector<uint8_t> scaled(static_cast<size_t>(w * h * 3));
  uint8_t* planes[] = {scaled.data()};
  const int strides[] = {static_cast<int>(w * 3)};
  sws_scale(scaler.get(), frame.data, frame.linesize, 0, frame.height, planes, strides);
  std::vector<uint8_t> out(static_cast<size_t>(width * height * 3));
  const int64_t left = (w - width) / 2, top = (h - height) / 2;
  for (int64_t y = 0; y < height; ++y)
    std::copy_n(scaled.begin() + ((top + y) * w + left) * 3, width * 3,
                out.begin() + y * width * 3);
  return out;
}

// Picks frames at the asked rate: output frame k shows the last input frame at or before k / fps.
class FramePicker {
 public:
  explicit FramePicker(const ReadRequest& request) : r_(request) {}

  // False when enough is kept. `slack` in seconds: containers round times to their ticks.
  bool add(std::vector<uint8_t> rgb, double time, double slack) {
    if (r_.fps == 0) return keep(rgb);
    if (!previous_.empty() && !fill_until(time - slack)) return false;
    previous_ = std::move(rgb);
    return slot_time() > time + slack || keep(previous_);
  }

  // The last frame lasts until `time`.
  void end(double time) {
    if (r_.fps > 0 && !previous_.empty()) (void)fill_until(time);
  }

  std::deque<std::vector<uint8_t>> take() {
    while (static_cast<int64_t>(kept_.size()) > r_.max_frames) kept_.pop_back();
    return std::move(kept_);
  }

 private:
  double slot_time() const { return static_cast<double>(picked_) / r_.fps; }

  bool fill_until(double time) {
    while (slot_time() < time)
      if (picked_ > kMaxFrames || !keep(previous_)) return false;
    return true;
  }

  bool keep(const std::vector<uint8_t>& pixels) {
    const int64_t index = picked_++;
    if (r_.first_frame >= 0 && index < r_.first_frame) return index < kMaxFrames;
    if (r_.first_frame >= 0 && static_cast<int64_t>(kept_.size()) >= r_.max_frames) return false;
    kept_.push_back(pixels);
    if (r_.first_frame < 0 && static_cast<int64_t>(kept_.size()) > -r_.first_frame)
      kept_.pop_front();
    return r_.first_frame < 0 || static_cast<int64_t>(kept_.size()) < r_.max_frames;
  }

  const ReadRequest& r_;
  std::deque<std::vector<uint8_t>> kept_;
  std::vector<uint8_t> previous_;
  int64_t picked_ = 0;
};

Status read_video(const std::string& path, const ReadRequest& r, Media* media) {
  FramePicker picker(r);
  double last = 0, length = 0;
  bool ended_early = false;
  const Status status = decode_stream(
      path, AVMEDIA_TYPE_VIDEO, [&](const AVFrame& frame, const AVStream& stream) -> Result<bool> {
        const double tick = av_q2d(stream.time_base), rate = av_q2d(stream.avg_frame_rate);
        const int64_t start = stream.start_time == AV_NOPTS_VALUE ? 0 : stream.start_time;
        const int64_t pts = frame.best_effort_timestamp;
        last = pts == AV_NOPTS_VALUE
                   ? last + length
                   : (static_cast<double>(pts) - static_cast<double>(start)) * tick;
        length = rate > 0 ? 1 / rate : 0;
        auto rgb = to_rgb(frame, r.width, r.height);
        if (!rgb.ok()) return rgb.status().with_context(path);
        const double slack = r.fps > 0 ? std::min(tick, 0.25 / r.fps) : 0;
        ended_early = !picker.add(std::move(*rgb), last, slack);
        return !ended_early;
      });
  ZT_RETURN_IF_ERROR(status);
  if (!ended_early) picker.end(last + length - 1e-3);
  const auto kept = picker.take();
  if (kept.empty()) return error(Code::kDataLoss, path, " has no frame at the asked place");
  for (const auto& pixels : kept)
    media->pixels.insert(media->pixels.end(), pixels.begin(), pixels.end());
  media->frames = static_cast<int64_t>(kept.size());
  return Status();
}

Status read_audio(const std::string& path, const ReadRequest& r, Media* media) {
  ResamplerPtr resampler;
  const auto limit = static_cast<size_t>(r.max_samples * r.channels);
  const auto convert = [&](const uint8_t** data, int count) -> Status {
    const int room = swr_get_out_samples(resampler.get(), count) + 16;
    std::vector<float> out(static_cast<size_t>(room) * static_cast<size_t>(r.channels));
    uint8_t* planes[] = {reinterpret_cast<uint8_t*>(out.data())};
    const int n = swr_convert(resampler.get(), planes, room, data, count);
    if (n < 0) return ffmpeg_error(n, "cannot resample " + path);
    media->samples.insert(media->samples.end(), out.begin(), out.begin() + int64_t{n} * r.channels);
    return Status();
  };
  ZT_RETURN_IF_ERROR(decode_stream(
      path, AVMEDIA_TYPE_AUDIO, [&](const AVFrame& frame, const AVStream&) -> Result<bool> {
        if (!resampler) {
          AVChannelLayout layout = {};
          av_channel_layout_default(&layout, r.channels);
          SwrContext* swr = nullptr;
          // FFmpeg 5.1 takes it without const, and only reads it.
          auto* from = const_cast<AVChannelLayout*>(&frame.ch_layout);
          int code = swr_alloc_set_opts2(&swr, &layout, AV_SAMPLE_FMT_FLT, r.sample_rate, from,
                                         static_cast<AVSampleFormat>(frame.format),
                                         frame.sample_rate, 0, nullptr);
          resampler.reset(swr);
          if (code >= 0) code = swr_init(swr);
          if (code < 0) return ffmpeg_error(code, "cannot resample " + path);
        }
        ZT_RETURN_IF_ERROR(
            convert(const_cast<const uint8_t**>(frame.extended_data), frame.nb_samples));
        return media->samples.size() < limit;
      }));
  if (resampler) ZT_RETURN_IF_ERROR(convert(nullptr, 0));
  if (media->samples.empty()) return error(Code::kDataLoss, path, " has no sound");
  if (media->samples.size() > limit) media->samples.resize(limit);
  return Status();
}

}  // namespace

Result<Media> read_with_ffmpeg(const std::string& path, const ReadRequest& request) {
  av_log_set_level(AV_LOG_FATAL);
  Media media;
  if (request.max_frames > 0) ZT_RETURN_IF_ERROR(read_video(path, request, &media));
  if (request.sample_rate > 0) ZT_RETURN_IF_ERROR(read_audio(path, request, &media));
  return media;
}

}  // namespace zoetrope
