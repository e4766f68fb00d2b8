#include "runtime/media/ffmpeg/input.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <utility>

#include "graph/host.h"
#include "graph/thread.h"
#include "runtime/backend/foreign_code.h"
#include "runtime/media/ffmpeg/alpha_track.h"
#include "runtime/media/ffmpeg/deinterlacer.h"
#include "runtime/media/ffmpeg/heif_picture.h"
#include "runtime/media/ffmpeg/joined_clock.h"
#include "runtime/media/ffmpeg/stream_facts.h"
#include "runtime/media/ffmpeg/to_rgb.h"
#include "runtime/media/foreign_media.h"
#include "runtime/media/frame_sequence.h"
#include "runtime/media/heif.h"
#include "runtime/media/iso_boxes.h"
#include "runtime/media/jpeg.h"
#include "runtime/media/riff_webp.h"
#include "runtime/media/wave.h"

namespace zoetrope {
namespace {

constexpr int64_t kMaxPictureBytes = int64_t{1} << 30;
constexpr int64_t kHeadBytes = 1 << 16;

// Each of FFmpeg's threads holds a frame and what it refers to, and has the stack that this process
// gives to all.
int threads_for(const AVCodecParameters& p) {
  if (default_thread_stack() < kLeastStack) return 1;
  constexpr int64_t kMostThreads = 8, kMostPixels = 1 << 26;
  const int64_t pixels = std::max<int64_t>(int64_t{p.width} * p.height, 1);
  const int64_t most = std::clamp<int64_t>(kMostPixels / pixels, 1, kMostThreads);
  return static_cast<int>(std::min<int64_t>(usable_threads(), most));
}

using UseFrame = std::function<Result<bool>(AVFrame&, const AVStream&)>;

double aspect_of(AVRational ratio) { return ratio.num > 0 && ratio.den > 0 ? av_q2d(ratio) : 1; }

// Feeds one decoder; damaged packets are skipped and counted.
class Decoding {
 public:
  Decoding(const std::string& path, std::vector<std::string>* notices, const UseFrame& use)
      : path_(path), notices_(notices), use_(use) {}

  // `wanted`: the stream; -1: the best one.
  Status run(AVMediaType type, int wanted = -1) {
    ZT_ASSIGN_OR_RETURN(input_, open_input(path_));
    const AVCodec* codec = nullptr;
    const int index = av_find_best_stream(input_.get(), type, wanted, -1, &codec, 0);
    if (index < 0 || codec == nullptr) return no_stream(type);
    stream_ = input_->streams[index];
    if (has_alpha_layer(*stream_)) {
      // FFmpeg's own VP8 and VP9 leave the transparency out, so that hidden colours would show.
      codec = avcodec_find_decoder_by_name(codec->id == AV_CODEC_ID_VP9 ? "libvpx-vp9" : "libvpx");
      if (codec == nullptr)
        return error(Code::kUnsupported, "transparency in WebM is not supported by this FFmpeg (",
                     av_version_info(), "); save ", path_, " as pictures or ProRes 4444");
    }
    if (needs_dolby_vision(*stream_))
      return error(
          Code::kUnsupported, path_,
          " is Dolby Vision of profile 5, whose colours are not supported; convert it with "
          "ffmpeg's libplacebo filter to BT.709 first");
    clock_.emplace(*input_);
    for (unsigned i = 0; i < input_->nb_streams; ++i)
      if (static_cast<int>(i) != index && !clock_->watches())
        input_->streams[i]->discard = AVDISCARD_ALL;
    ZT_ASSIGN_OR_RETURN(decoder_,
                        open_decoder(*codec, stream_, threads_for(*stream_->codecpar), path_));
    ZT_RETURN_IF_ERROR(decode_all());
    if (ended_early()) broken_off_ = true;
    report();
    if (frames_ == 0 && damaged_ > 0)
      return error(Code::kDataLoss, "cannot decode ", path_, ": every part of it is damaged");
    return Status();
  }

  // The file's own begin, in seconds of the stream's clock.
  double origin() const {
    return input_->start_time == AV_NOPTS_VALUE
               ? 0
               : static_cast<double>(input_->start_time) / AV_TIME_BASE;
  }

  // Sound that an encoder begins with may begin the clock: what a picture is late by for that is
  // at most one of its frames, and nothing to show for it.
  double picture_origin() const {
    constexpr double kMostPriming = 0.05;
    if (stream_->start_time == AV_NOPTS_VALUE) return origin();
    const double begin = static_cast<double>(stream_->start_time) * av_q2d(stream_->time_base);
    const double rate = av_q2d(stream_->avg_frame_rate);
    const double late = begin - origin(), frame = rate > 0 ? 1 / rate : 0;
    return late > 0 && late <= std::min(kMostPriming, frame * 1.001) ? begin : origin();
  }

  bool is_mp4() const { return std::strstr(input_->iformat->name, "mp4") != nullptr; }

 private:
  Status no_stream(AVMediaType type) const {
    const char* what = type == AVMEDIA_TYPE_VIDEO ? "picture" : "sound";
    for (unsigned i = 0; i < input_->nb_streams; ++i)
      if (const AVCodecParameters& p = *input_->streams[i]->codecpar;
          p.codec_type == AVMEDIA_TYPE_AUDIO && type == p.codec_type &&
          (p.sample_rate <= 0 || p.ch_layout.nb_channels <= 0))
        return error(Code::kDataLoss, path_, ": sound of ", p.ch_layout.nb_channels,
                     " channels at ", p.sample_rate, " Hz");
    for (unsigned i = 0; i < input_->nb_streams; ++i)
      if (input_->streams[i]->codecpar->codec_type == type)
        return error(Code::kUnsupported, path_, " has ",
                     avcodec_get_name(input_->streams[i]->codecpar->codec_id), " ", what,
                     ", which this FFmpeg build (", av_version_info(), ") cannot decode");
    return error(Code::kNotFound, path_, " has no ", what);
  }

  Status decode_all() {
    PacketPtr packet(av_packet_alloc());
    FramePtr frame(av_frame_alloc());
    if (!packet || !frame) return no_memory_to_read(path_);
    for (bool flushing = false;;) {
      int code = 0;
      if (!flushing) {
        const MemoryWatch memory;
        code = read_packet(input_.get(), packet.get());
        if (memory.refused(code)) return no_memory_to_read(path_);
        if (code < 0 && code != AVERROR_EOF) broken_off_ = true;
        const bool header = code >= 0 && is_header(*input_->streams[packet->stream_index], *packet);
        if (code >= 0 && !header) clock_->set(*input_->streams[packet->stream_index], packet.get());
        if (header || (code >= 0 && packet->stream_index != stream_->index)) {
          av_packet_unref(packet.get());
          continue;
        }
        flushing = code < 0;
        if (!flushing) note_packet(*packet);
      }
      const MemoryWatch memory;
      code = send_packet(decoder_.get(), flushing ? nullptr : packet.get());
      av_packet_unref(packet.get());
      if (memory.refused(code)) return no_memory_to_read(path_);
      if (code < 0 && code != AVERROR_EOF && code != AVERROR(EAGAIN)) ++damaged_;
      while (true) {
        const MemoryWatch receiving;
        code = receive_frame(decoder_.get(), frame.get());
        if (receiving.refused(code)) return no_memory_to_read(path_);
        if (code == AVERROR(EAGAIN)) break;
        if (code == AVERROR_EOF) return Status();
        if (code < 0) {
          ++damaged_;
          break;
        }
        if (frame->decode_error_flags != 0 || (frame->flags & AV_FRAME_FLAG_CORRUPT) != 0)
          ++patched_;
        ++frames_;
        const auto more = use_(*frame, *stream_);
        if (!more.ok()) return more.status();
        if (!*more) {
          left_ = true;
          return Status();
        }
      }
      // A decoder that fails while it is flushed may never say that it is done.
      if (flushing && code != AVERROR(EAGAIN)) return Status();
    }
  }

  // The last packet of WAV is flawed where the file ends before its header says, which
  // wave_breaks_off() judges: written into a pipe it does not know its length.
  void note_packet(const AVPacket& packet) {
    const bool flawed = (packet.flags & AV_PKT_FLAG_CORRUPT) != 0;
    const bool is_wave = std::strcmp(input_->iformat->name, "wav") == 0;
    if (is_wave ? last_is_flawed_ : flawed) ++flawed_;
    last_is_flawed_ = flawed;
    if (packet.pts != AV_NOPTS_VALUE)
      end_ = std::max(
          end_, static_cast<double>(packet.pts + packet.duration) * av_q2d(stream_->time_base));
  }

  // Whether packets stop half a second before the end that the stream's header states.
  bool ended_early() const {
    if (left_ || frames_ == 0 || !std::isfinite(end_) || clock_->joined()) return false;
    const double begin =
        stream_->start_time == AV_NOPTS_VALUE
            ? 0
            : static_cast<double>(stream_->start_time) * av_q2d(stream_->time_base);
    double stated = stream_->duration > 0
                        ? static_cast<double>(stream_->duration) * av_q2d(stream_->time_base)
                        : 0;
    double there = end_ - begin;
    if (const AVDictionaryEntry* tag = av_dict_get(stream_->metadata, "DURATION", nullptr, 0)) {
      int hours = 0, minutes = 0;
      double seconds = 0;  // as Matroska has it: some writers' counts from zero, not from `begin`
      if (std::sscanf(tag->value, "%d:%d:%lf", &hours, &minutes, &seconds) == 3)
        stated = hours * 3600.0 + minutes * 60.0 + seconds;
      there = std::max(there, end_);
    }
    return stated > 0 && there < stated - 0.5;
  }

  void report() {
    if (frames_ == 0) return;
    patched_ = std::max(patched_, flawed_);
    if (damaged_ > 0)
      notices_->push_back(
          str(path_, ": ", damaged_, " damaged packet", damaged_ == 1 ? "" : "s", " skipped"));
    if (patched_ > 0)
      notices_->push_back(str(path_, ": ", patched_, " damaged frame", patched_ == 1 ? "" : "s",
                              " shown as the decoder patched them"));
    if (broken_off_) notices_->push_back(breaks_off(path_));
  }

  const std::string& path_;
  std::vector<std::string>* notices_;
  const UseFrame& use_;
  InputPtr input_;
  CodecContextPtr decoder_;
  AVStream* stream_ = nullptr;
  std::optional<JoinedClock> clock_;
  int64_t frames_ = 0, damaged_ = 0, patched_ = 0, flawed_ = 0;
  double end_ = -INFINITY;  // of the packets so far, in seconds of the stream's clock
  bool left_ = false;       // nobody wanted more
  bool last_is_flawed_ = false;
  bool broken_off_ = false;
};

Status decode_container(const std::string& path, const HeifInfo& heif,
                        std::vector<std::string>* notices, const UsePicture& use) {
  Decoding* running = nullptr;
  double next = 0, duration = 0, tick = 0;
  bool slanted = false;
  const AVStream* of = nullptr;
  std::optional<Deinterlacer> deinterlacer;
  std::unique_ptr<AlphaTrack> alpha;
  if (heif.alpha) {
    ZT_ASSIGN_OR_RETURN(alpha, AlphaTrack::open(path));
  }
  const Deinterlacer::Use whole = [&](AVFrame& frame, double seconds) -> Result<bool> {
    const AVStream& stream = *of;
    PictureFrame p;
    p.frame = &frame;
    FramePtr joined;
    if (alpha) {
      ZT_ASSIGN_OR_RETURN(joined, alpha->join(frame));
      p.frame = joined.get();
      if (heif.premultiplied) p.alpha = PictureFrame::Alpha::kPremultiplied;
    }
    // The container's before the codec's, as players have it.
    p.pixel_aspect =
        aspect_of(av_guess_sample_aspect_ratio(nullptr, const_cast<AVStream*>(&stream), &frame));
    p.tick = tick;
    p.duration = duration;
    p.rate = av_q2d(stream.avg_frame_rate);
    p.seconds = std::isnan(seconds) ? next : seconds - running->picture_origin();
    next = p.seconds + p.duration;
    const ContainerTurn turn = container_turn(frame, stream);
    p.orientation = turn.orientation;
    if (!turn.exact && !std::exchange(slanted, true))
      notices->push_back(path +
                         " says that it is to be shown turned by a part of a quarter, or slanted; "
                         "it is turned to the nearest quarter");
    return use(p);
  };
  const UseFrame picture = [&](AVFrame& frame, const AVStream& stream) -> Result<bool> {
    of = &stream;
    tick = av_q2d(stream.time_base);
    const double rate = av_q2d(stream.avg_frame_rate);
#if LIBAVUTIL_VERSION_MAJOR < 58
    const int64_t ticks = frame.pkt_duration;
#else
    const int64_t ticks = frame.duration;
#endif
    duration = ticks > 0 ? static_cast<double>(ticks) * tick : rate > 0 ? 1 / rate : 0;
    if (!deinterlacer && is_interlaced(frame)) deinterlacer.emplace(path, stream.time_base);
    if (deinterlacer) return deinterlacer->add(&frame, whole);
    const bool timed = frame.best_effort_timestamp != AV_NOPTS_VALUE;
    return whole(frame, timed ? static_cast<double>(frame.best_effort_timestamp) * tick : NAN);
  };
  Decoding decoding(path, notices, picture);
  running = &decoding;
  ZT_RETURN_IF_ERROR(decoding.run(AVMEDIA_TYPE_VIDEO, alpha ? alpha->colours() : -1));
  if (!deinterlacer) return Status();
  notices->push_back(path + " is interlaced; its fields are made into whole frames");
  return deinterlacer->finish(whole).status();
}

Status decode_picture_or_clip(const std::string& path, std::vector<std::string>* notices,
                              const UsePicture& use) {
  ZT_RETURN_IF_ERROR(check_readable(path));
  ZT_ASSIGN_OR_RETURN(std::vector<uint8_t> bytes, read_bytes(path, kHeadBytes));
  const AVCodecID id = picture_codec(bytes, path);
  if (id != AV_CODEC_ID_NONE) {
    if (static_cast<int64_t>(bytes.size()) == kHeadBytes) {
      ZT_ASSIGN_OR_RETURN(bytes, read_bytes(path, kMaxPictureBytes));
    }
    if (id == AV_CODEC_ID_MJPEG && is_motion_jpeg(bytes)) {
      bytes = {};
      return decode_container(path, {}, notices, use);
    }
    return use_picture_file(bytes, id, path, notices, use);
  }
  const HeifInfo heif = read_heif(read_iso_boxes(path));
  if (heif.still) return use_heif_picture(path, use);
  return decode_container(path, heif, notices, use);
}

}  // namespace

Result<CodecContextPtr> open_decoder(const AVCodec& codec, const AVStream* stream, int threads,
                                     const std::string& path) {
  CodecContextPtr decoder = new_context(&codec);
  if (!decoder) return no_memory_to_read(path);
  decoder->max_pixels = kMaxPixels;
  decoder->thread_count = threads;
  const MemoryWatch memory;
  int code = 0;
  if (stream != nullptr) {
    decoder->pkt_timebase = stream->time_base;
    code = avcodec_parameters_to_context(decoder.get(), stream->codecpar);
  }
  if (code >= 0) code = begin_decoding(decoder.get(), codec);
  const bool refused = memory.refused(code);
  if ((code < 0 || refused) && threads > 1) {
    decoder.reset();
    return open_decoder(codec, stream, 1, path);
  }
  if (refused) return no_memory_to_read(path);
  if (code < 0) return ffmpeg_error(code, "cannot decode " + path);
  return decoder;
}

Status decode_pictures(const std::string& path, int fps, std::vector<std::string>* notices,
                       const UsePicture& use) {
  ZT_ASSIGN_OR_RETURN(const std::vector<std::string> files, find_frame_sequence(path));
  if (files.empty()) return decode_picture_or_clip(path, notices, use);
  for (size_t i = 0; i < files.size(); ++i) {
    bool more = true, taken = false;
    ZT_RETURN_IF_ERROR(
        decode_picture_or_clip(files[i], notices, [&](const PictureFrame& picture) -> Result<bool> {
          if (std::exchange(taken, true))
            return error(Code::kInvalidArgument, files[i], " has several frames; the sequence ",
                         path, " is made of single pictures");
          PictureFrame timed = picture;
          timed.duration = 1.0 / std::max(fps, 1);
          timed.seconds = static_cast<double>(i) * timed.duration;
          timed.tick = timed.duration / 1000;
          auto result = use(timed);
          more = result.ok() && *result;
          return result;
        }));
    if (!more) break;
  }
  return Status();
}

Status decode_sound(const std::string& path, std::vector<std::string>* notices,
                    const UseSound& use) {
  ZT_RETURN_IF_ERROR(check_readable(path));
  ZT_ASSIGN_OR_RETURN(const std::vector<uint8_t> head, read_bytes(path, kHeadBytes));
  if (picture_codec(head, path) != AV_CODEC_ID_NONE || read_heif(head).still)
    return error(Code::kNotFound, path, " is a picture; it has no sound");
  // FFmpeg takes its samples for little-endian ones, which is noise.
  constexpr std::string_view kRifx = "RIFX";
  if (head.size() > 4 && std::equal(kRifx.begin(), kRifx.end(), head.begin()))
    return error(Code::kUnsupported, "cannot read ", path, ": it is ", name_foreign_media(path));
  Decoding* running = nullptr;
  bool first = true;
  double lag = 0;  // of the first samples behind the stream's begin
  double end = 0;  // of what an MP4's edit list shows; what encoders pad lies behind it
  const UseFrame sound = [&](AVFrame& frame, const AVStream& stream) -> Result<bool> {
    const double tick = av_q2d(stream.time_base);
    double seconds = -1;
    // Where the rate changes in mid-stream, times that follow from the first rate are wrong.
    if (frame.best_effort_timestamp != AV_NOPTS_VALUE &&
        frame.sample_rate == stream.codecpar->sample_rate)
      seconds = static_cast<double>(frame.best_effort_timestamp) * tick - running->origin();
    if (first && seconds >= 0 && stream.start_time != AV_NOPTS_VALUE) {
      // A decoder that needs a packet to settle gives nothing for it: no silence stands for that.
      const double begin = static_cast<double>(stream.start_time) * tick - running->origin();
      lag = seconds - begin;
      if (running->is_mp4() && stream.duration > 0)
        end = begin + static_cast<double>(stream.duration) * tick;
    }
    first = false;
    if (seconds >= 0) seconds = std::max(0.0, seconds - lag);
    if (end > 0 && seconds >= 0) {
      const double left = std::round((end - seconds) * frame.sample_rate);
      if (left <= 0) return true;
      frame.nb_samples = static_cast<int>(std::min<double>(frame.nb_samples, left));
    }
    return use(frame, seconds);
  };
  Decoding decoding(path, notices, sound);
  running = &decoding;
  std::error_code unknown;
  const auto bytes = static_cast<int64_t>(std::filesystem::file_size(path, unknown));
  if (!unknown && wave_breaks_off(head, bytes)) notices->push_back(breaks_off(path));
  return decoding.run(AVMEDIA_TYPE_AUDIO);
}

}  // namespace zoetrope
