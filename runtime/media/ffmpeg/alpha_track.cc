#include "runtime/media/ffmpeg/alpha_track.h"

#include "runtime/media/ffmpeg/input.h"

extern "C" {
#include <libavutil/pixdesc.h>
}

namespace zoetrope {
namespace {

// The same pixels with a plane of alpha behind the others.
AVPixelFormat with_alpha(int format) {
  switch (format) {
    case AV_PIX_FMT_YUVJ420P:
    case AV_PIX_FMT_YUV420P: return AV_PIX_FMT_YUVA420P;
    case AV_PIX_FMT_YUVJ422P:
    case AV_PIX_FMT_YUV422P: return AV_PIX_FMT_YUVA422P;
    case AV_PIX_FMT_YUVJ444P:
    case AV_PIX_FMT_YUV444P: return AV_PIX_FMT_YUVA444P;
    case AV_PIX_FMT_YUV420P10: return AV_PIX_FMT_YUVA420P10;
    case AV_PIX_FMT_YUV422P10: return AV_PIX_FMT_YUVA422P10;
    case AV_PIX_FMT_YUV444P10: return AV_PIX_FMT_YUVA444P10;
    case AV_PIX_FMT_YUV422P12: return AV_PIX_FMT_YUVA422P12;
    case AV_PIX_FMT_YUV444P12: return AV_PIX_FMT_YUVA444P12;
    case AV_PIX_FMT_GBRP: return AV_PIX_FMT_GBRAP;
    case AV_PIX_FMT_GBRP10: return AV_PIX_FMT_GBRAP10;
    case AV_PIX_FMT_GBRP12: return AV_PIX_FMT_GBRAP12;
    default: return AV_PIX_FMT_NONE;
  }
}

const AVPixFmtDescriptor* described(int format) {
  return av_pix_fmt_desc_get(static_cast<AVPixelFormat>(format));
}

bool is_gray(const AVStream& stream) {
  const AVPixFmtDescriptor* d = described(stream.codecpar->format);
  return stream.codecpar->codec_type == AVMEDIA_TYPE_VIDEO && d != nullptr && d->nb_components == 1;
}

// Whether `a` comes a tick of both clocks before `b`, or more: what is less is for their rounding.
bool is_before(int64_t a, AVRational of_a, int64_t b, AVRational of_b) {
  return av_compare_ts(av_sat_add64(a, 1), of_a, b, of_b) <= 0 &&
         av_compare_ts(a, of_a, av_sat_sub64(b, 1), of_b) <= 0;
}

Status unsupported(const std::string& what, const std::string& path) {
  return error(Code::kUnsupported, what, " is not supported; save ", path, " as WebP or APNG");
}

}  // namespace

Result<std::unique_ptr<AlphaTrack>> AlphaTrack::open(const std::string& path) {
  ZT_ASSIGN_OR_RETURN(InputPtr input, open_input(path));
  int colours = -1, alpha = -1;
  for (int i = static_cast<int>(input->nb_streams) - 1; i >= 0; --i) {
    const AVStream& stream = *input->streams[i];
    if (is_gray(stream))
      alpha = i;
    else if (stream.codecpar->codec_type == AVMEDIA_TYPE_VIDEO)
      colours = i;
  }
  if (colours < 0 || alpha < 0)
    return unsupported("transparency in animated AVIF or HEIC of this kind", path);
  for (unsigned i = 0; i < input->nb_streams; ++i)
    if (static_cast<int>(i) != alpha) input->streams[i]->discard = AVDISCARD_ALL;
  std::unique_ptr<AlphaTrack> track(new AlphaTrack(path, std::move(input), colours, alpha));
  ZT_RETURN_IF_ERROR(track->start());
  return track;
}

Status AlphaTrack::start() {
  const AVCodecParameters& p = *input_->streams[alpha_]->codecpar;
  const AVCodec* codec = avcodec_find_decoder(p.codec_id);
  if (codec == nullptr)
    return unsupported(str("transparency coded as ", avcodec_get_name(p.codec_id)), path_);
  packet_.reset(av_packet_alloc());
  frame_.reset(av_frame_alloc());
  if (!packet_ || !frame_) return no_memory_to_read(path_);
  ZT_ASSIGN_OR_RETURN(decoder_, open_decoder(*codec, input_->streams[alpha_], 1, path_));
  return Status();
}

Result<bool> AlphaTrack::next() {
  while (true) {
    const MemoryWatch memory;
    int code = receive_frame(decoder_.get(), frame_.get());
    if (memory.refused(code)) return no_memory_to_read(path_);
    if (code >= 0) return true;
    if (code == AVERROR_EOF || (flushing_ && code == AVERROR(EAGAIN))) return false;
    if (code != AVERROR(EAGAIN)) return ffmpeg_error(code, "cannot decode " + path_);
    code = read_packet(input_.get(), packet_.get());
    if (memory.refused(code)) return no_memory_to_read(path_);
    flushing_ = code < 0;
    if (!flushing_ && packet_->stream_index != alpha_) {
      av_packet_unref(packet_.get());
      continue;
    }
    code = send_packet(decoder_.get(), flushing_ ? nullptr : packet_.get());
    av_packet_unref(packet_.get());
    if (memory.refused(code)) return no_memory_to_read(path_);
    if (code < 0 && code != AVERROR_EOF) return ffmpeg_error(code, "cannot decode " + path_);
  }
}

Result<FramePtr> AlphaTrack::join(const AVFrame& colours) {
  const AVRational clock = input_->streams[alpha_]->time_base;
  const AVRational other = input_->streams[colours_]->time_base;
  const int64_t shown = colours.best_effort_timestamp;
  const auto untimed = [&] {
    return error(Code::kDataLoss, "cannot decode ", path_,
                 ": its picture or its transparency has no times");
  };
  if (shown == AV_NOPTS_VALUE) return untimed();
  while (!decoded_ || is_before(frame_->best_effort_timestamp, clock, shown, other)) {
    ZT_ASSIGN_OR_RETURN(decoded_, next());
    if (!decoded_)
      return error(Code::kDataLoss, "cannot decode ", path_,
                   ": its transparency ends before its picture does");
    if (frame_->best_effort_timestamp == AV_NOPTS_VALUE) return untimed();
  }
  if (is_before(shown, other, frame_->best_effort_timestamp, clock))
    return error(Code::kDataLoss, "cannot decode ", path_, ": at ",
                 static_cast<double>(shown) * av_q2d(other),
                 " s there is a picture, but no transparency of its own");
  const AVPixelFormat format = with_alpha(colours.format);
  const AVPixFmtDescriptor *from = described(colours.format), *gray = described(frame_->format);
  if (format == AV_PIX_FMT_NONE || gray == nullptr || gray->comp[0].depth != from->comp[0].depth ||
      frame_->width != colours.width || frame_->height != colours.height)
    return unsupported(
        str("transparency of ", frame_->width, "x", frame_->height, " pixels of the format ",
            gray == nullptr ? "?" : gray->name, " beside ", colours.width, "x", colours.height,
            " of ", from == nullptr ? "?" : from->name),
        path_);
  FramePtr joined(av_frame_clone(&colours));
  AVBufferRef* plane = av_frame_get_plane_buffer(frame_.get(), 0);
  AVBufferRef* kept = joined && plane != nullptr ? av_buffer_ref(plane) : nullptr;
  if (kept == nullptr) return no_memory_to_read(path_);
  size_t free = 0;
  while (joined->buf[free] != nullptr) ++free;  // three planes take three of eight at most
  joined->buf[free] = kept;
  joined->data[3] = frame_->data[0];
  joined->linesize[3] = frame_->linesize[0];
  joined->format = format;
  return joined;
}

}  // namespace zoetrope
