// FFmpeg's handles as owners, and its error codes as Status.
#pragma once

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/audio_fifo.h>
#include <libavutil/channel_layout.h>
#include <libavutil/imgutils.h>
#include <libavutil/opt.h>
#include <libswresample/swresample.h>
#include <libswscale/swscale.h>
}

#include <cerrno>
#include <cstring>
#include <memory>
#include <string>

#include "graph/status.h"
#include "runtime/backend/foreign_code.h"
#include "runtime/media/clip_writer.h"
#include "runtime/media/loudness.h"
#include "runtime/media/media_reader.h"

namespace zoetrope {

template <auto Free>
struct FreeByAddress {
  template <typename T>
  void operator()(T* pointer) const {
    Free(&pointer);
  }
};
template <auto Free>
struct FreePlain {
  template <typename T>
  void operator()(T* pointer) const {
    Free(pointer);
  }
};

using CodecContextPtr = std::unique_ptr<AVCodecContext, FreeByAddress<avcodec_free_context>>;
using FramePtr = std::unique_ptr<AVFrame, FreeByAddress<av_frame_free>>;
using PacketPtr = std::unique_ptr<AVPacket, FreeByAddress<av_packet_free>>;
using InputPtr = std::unique_ptr<AVFormatContext, FreeByAddress<avformat_close_input>>;
using ScalerPtr = std::unique_ptr<SwsContext, FreePlain<sws_freeContext>>;
using ResamplerPtr = std::unique_ptr<SwrContext, FreeByAddress<swr_free>>;
using FifoPtr = std::unique_ptr<AVAudioFifo, FreePlain<av_audio_fifo_free>>;

// reader.cc
Result<Media> read_with_ffmpeg(const std::string& path, const ReadRequest& request,
                               const FrameSink& sink);

// tags.cc
Result<ClipTags> read_tags_with_ffmpeg(const std::string& path);
Result<Loudness> measure_loudness_with_ffmpeg(std::span<const float> samples, int rate,
                                              int channels);

inline Status ffmpeg_error(int code, const std::string& what) {
  char text[AV_ERROR_MAX_STRING_SIZE] = {};
  av_strerror(code, text, sizeof(text));
  const bool full = code == AVERROR(ENOSPC) || code == AVERROR(EDQUOT) || code == AVERROR(EFBIG);
  return error(full                          ? Code::kResourceExhausted
               : code == AVERROR(ENOMEM)     ? Code::kResourceExhausted
               : code == AVERROR(ENOENT)     ? Code::kNotFound
               : code == AVERROR_INVALIDDATA ? Code::kDataLoss
                                             : Code::kIoError,
               what, ": ", text);
}

// Whether memory was refused since. It counts whatever the call returns: FFmpeg's demuxers pass
// over what they had no memory for and go on (WebM's sound became shorter), and its decoders patch
// it or call it damaged. A decoder that made do without
// looks the same and is refused, too; one that is opened is tried again with what needs less.
class MemoryWatch {
 public:
  bool refused(int code) const { return code == AVERROR(ENOMEM) || watch_.refused(); }

 private:
  RefusalWatch watch_;
};

// Calls that may crash, or never come back, once memory was refused.
inline CodecContextPtr new_context(const AVCodec* codec) {
  const ForeignCode making(ForeignCode::Kind::kWork, "making a codec of FFmpeg");
  return CodecContextPtr(avcodec_alloc_context3(codec));
}
inline int open_encoder(AVCodecContext* encoder, const AVCodec* codec) {
  const ForeignCode opening(ForeignCode::Kind::kWork, "opening an encoder of FFmpeg");
  return avcodec_open2(encoder, codec, nullptr);
}
inline AVStream* new_stream(AVFormatContext* output) {
  const ForeignCode making(ForeignCode::Kind::kWork, "making a stream of FFmpeg");
  return avformat_new_stream(output, nullptr);
}
inline int write_header(AVFormatContext* output, AVDictionary** options) {
  const ForeignCode writing(ForeignCode::Kind::kWork, "writing a clip by FFmpeg");
  return avformat_write_header(output, options);
}
inline int write_packet(AVFormatContext* output, AVPacket* packet) {
  const ForeignCode writing(ForeignCode::Kind::kWork, "writing a clip by FFmpeg");
  return av_interleaved_write_frame(output, packet);
}
inline int write_trailer(AVFormatContext* output) {
  const ForeignCode writing(ForeignCode::Kind::kWork, "writing a clip by FFmpeg");
  return av_write_trailer(output);
}
inline int read_packet(AVFormatContext* input, AVPacket* packet) {
  const ForeignCode reading(ForeignCode::Kind::kReading, "reading a clip by FFmpeg");
  return av_read_frame(input, packet);
}
inline int begin_decoding(AVCodecContext* decoder, const AVCodec& codec) {
  const ForeignCode opening(ForeignCode::Kind::kReading, "opening a decoder of FFmpeg");
  return avcodec_open2(decoder, &codec, nullptr);
}
inline int send_packet(AVCodecContext* decoder, const AVPacket* packet) {
  const ForeignCode decoding(ForeignCode::Kind::kReading, "decoding by FFmpeg");
  return avcodec_send_packet(decoder, packet);
}
inline int receive_frame(AVCodecContext* decoder, AVFrame* frame) {
  const ForeignCode decoding(ForeignCode::Kind::kReading, "decoding by FFmpeg");
  return avcodec_receive_frame(decoder, frame);
}
inline int send_frame(AVCodecContext* encoder, const AVFrame* frame) {
  const ForeignCode encoding(ForeignCode::Kind::kWork, "encoding by FFmpeg");
  return avcodec_send_frame(encoder, frame);
}
inline int receive_packet(AVCodecContext* encoder, AVPacket* packet) {
  const ForeignCode encoding(ForeignCode::Kind::kWork, "encoding by FFmpeg");
  return avcodec_receive_packet(encoder, packet);
}

inline Status no_memory_to_read(const std::string& path) {
  return error(Code::kResourceExhausted, "no memory to read ", path);
}

// What lies in an enum of FFmpeg's, which passes on numbers of a file that the enum does not have.
template <typename Enum>
int number_of(const Enum& value) {
  static_assert(sizeof(value) == sizeof(int));
  int number = 0;
  std::memcpy(&number, &value, sizeof(number));
  return number;
}

// Bytes from one row to the next of pixels that swscale reads or writes: it takes whole vectors,
// also behind the last pixel.
constexpr int padded_row(int bytes) { return (bytes + 63) / 64 * 64 + 64; }

}  // namespace zoetrope
