#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "runtime/media/ffmpeg/common.h"
#include "runtime/media/ffmpeg/copier.h"
#include "runtime/media/ffmpeg/encoders.h"
#include "runtime/media/ffmpeg/module.h"
#include "runtime/media/ffmpeg/output_io.h"
#include "runtime/media/ffmpeg/palette.h"

namespace zoetrope {
namespace {

// A comment extension of GIF89a (section 24): blocks of up to 255 bytes, and an empty one.
std::string gif_comment(const ClipTags& tags) {
  std::string out;
  for (const auto& [key, text] : tags) {
    if (key != "comment" || text.empty()) continue;
    out += "\x21\xfe";
    for (size_t at = 0; at < text.size(); at += 255) {
      const std::string part = text.substr(at, 255);
      out += static_cast<char>(part.size());
      out += part;
    }
    out += '\0';
  }
  return out;
}

class FfmpegWriter : public ClipWriter {
 public:
  FfmpegWriter(std::string path, ClipFormat format)
      : path_(std::move(path)), format_(std::move(format)) {}

  ~FfmpegWriter() override { close_output(); }

  Status begin() {
    av_log_set_level(AV_LOG_FATAL);  // as the reader: one level a process, and errors are told
    const ContainerChoice& choice = container_choice(format_.container);
    ZT_RETURN_IF_ERROR(watched([&] { return start_output(choice); }));
    if (format_.width > 0) ZT_RETURN_IF_ERROR(watched([&] { return add_video(choice); }));
    if (format_.sample_rate > 0 && !choice.audio.empty())
      ZT_RETURN_IF_ERROR(watched([&] { return add_audio(choice); }));
    ZT_RETURN_IF_ERROR(io_.open(path_));
    if (std::strcmp(choice.container, "gif") == 0)
      io_.put_before_last_byte(gif_comment(format_.tags));
    output_->pb = io_.context();
    ZT_RETURN_IF_ERROR(watched([&] { return begin_file(); }));
    const double seconds = static_cast<double>(format_.frames) / format_.fps;
    if (video_copy_) ZT_RETURN_IF_ERROR(video_copy_->copy(seconds));
    if (audio_copy_) ZT_RETURN_IF_ERROR(audio_copy_->copy(seconds));
    return Status();
  }

  Status frames(const uint8_t* pixels, int64_t count) override {
    if (video_copy_) {
      next_frame_ += count;
      return Status();
    }
    const int row = static_cast<int>(format_.width * 3);
    for (int64_t f = 0; f < count; ++f, pixels += format_.height * row)
      ZT_RETURN_IF_ERROR(watched([&] { return frame(pixels); }));
    return Status();
  }

  Status audio(const float* samples, int64_t count) override {
    if (!audio_) return Status();
    // Resampled into the encoder's rate, layout and format, then cut into its frames.
    return watched([&] {
      const int64_t room = swr_get_out_samples(resampler_.get(), static_cast<int>(count));
      ZT_RETURN_IF_ERROR(resample(reinterpret_cast<const uint8_t*>(samples), count, room));
      return drain_fifo(/*all=*/false);
    });
  }

  Status finish() override {
    if (next_frame_ == 0 && format_.width > 0)
      return error(Code::kInvalidArgument, path_, ": the clip has no frame");
    ZT_RETURN_IF_ERROR(watched([&] { return end_file(); }));
    ZT_RETURN_IF_ERROR(io_.status());
    ZT_RETURN_IF_ERROR(io_.finish());
    return io_.file().commit();
  }

  // MP4 and MOV write their index, which has the tags, at the end; in pieces, and elsewhere, it
  // went out first.
  bool add_tag(const std::string& name, const std::string& text) override {
    const std::string_view muxer = output_->oformat->name;
    if ((muxer != "mp4" && muxer != "mov") || !io_.file().seekable()) return false;
    tag_lost_ |= av_dict_set(&output_->metadata, name.c_str(), text.c_str(), 0) < 0;
    return true;
  }
  std::string description() const override { return description_; }

 private:
  // FFmpeg's muxers, codecs and resampler pass over what they had no memory for and go on.
  template <typename Call>
  Status watched(Call&& call) {
    memory_ = {};
    ZT_RETURN_IF_ERROR(call());
    return memory_.refused(0) ? error(Code::kResourceExhausted, "no memory to write ", path_)
                              : Status();
  }

  // What the file said, or that memory was refused, where FFmpeg has only a number for it.
  Status failed(int code, const std::string& what) const {
    if (!io_.status().ok()) return io_.status();
    return ffmpeg_error(memory_.refused(code) ? AVERROR(ENOMEM) : code, what + " " + path_);
  }

  // libvpx that had no memory is an invalid argument to FFmpeg. Settings are ours: where libx264
  // fails, which is an error of another library, it lacks memory or threads.
  Status cannot_start(int code, const AVCodec& codec, const std::string& of) const {
    const Status status = ffmpeg_error(memory_.refused(code) ? AVERROR(ENOMEM) : code,
                                       str("cannot start encoder ", codec.name, " for ", of));
    return code == AVERROR_EXTERNAL ? Status(Code::kResourceExhausted, status.message()) : status;
  }

  Status start_output(const ContainerChoice& choice) {
    const int code = avformat_alloc_output_context2(&output_, nullptr, choice.muxer, nullptr);
    if (code < 0) return failed(code, "cannot write the format of");
    output_->flags |= AVFMT_FLAG_BITEXACT;  // no random ids: the same clip is the same file
    output_->flags |= AVFMT_FLAG_CUSTOM_IO;
    output_->strict_std_compliance = FF_COMPLIANCE_EXPERIMENTAL;  // FLAC in MP4
    output_->max_interleave_delta = 0;  // sound comes whole before the picture: wait for both
    for (const auto& [key, text] : format_.tags)
      if (std::strcmp(choice.container, "gif") != 0 &&
          av_dict_set(&output_->metadata, key.c_str(), text.c_str(), 0) < 0)
        return error(Code::kResourceExhausted, "no memory for what ", path_, " says of itself");
    return Status();
  }

  Status begin_file() {
    // MP4 reads its file again to put the index in front. "file:" keeps a colon from naming a
    // protocol.
    output_->url = av_strdup(("file:" + io_.file().temporary_path()).c_str());
    if (output_->url == nullptr) return error(Code::kResourceExhausted, "no memory");
    AVDictionary* options = nullptr;
    int code = av_dict_set(&options, "movflags",
                           io_.file().seekable()
                               ? "+faststart+use_metadata_tags"
                               : "+frag_keyframe+empty_moov+default_base_moof+use_metadata_tags",
                           0);
    if (code >= 0) code = write_header(output_, &options);
    av_dict_free(&options);
    if (code < 0) return failed(code, "cannot write");
    trailer_due_ = true;
    return Status();
  }

  Status frame(const uint8_t* pixels) {
    const int code = av_frame_make_writable(picture_.get());
    if (code < 0) return ffmpeg_error(code, "no memory for a frame of " + path_);
    convert(pixels);
    picture_->pts = next_frame_++;
    return encode(video_.get(), video_stream_, picture_.get());
  }

  // Everything but the file's last bytes and name.
  Status end_file() {
    if (tag_lost_)
      return error(Code::kResourceExhausted, "no memory for what ", path_, " says of itself");
    if (audio_) {
      ZT_RETURN_IF_ERROR(resample(nullptr, 0, swr_get_out_samples(resampler_.get(), 0) + 1));
      ZT_RETURN_IF_ERROR(drain_fifo(/*all=*/true));
      ZT_RETURN_IF_ERROR(encode(audio_.get(), audio_stream_, nullptr));
    }
    if (video_) ZT_RETURN_IF_ERROR(encode(video_.get(), video_stream_, nullptr));
    trailer_due_ = false;
    const int code = write_trailer(output_);
    if (code < 0) return failed(code, "cannot finish");
    avio_flush(output_->pb);
    return output_->pb->error < 0 ? failed(output_->pb->error, "cannot finish") : Status();
  }

  void close_output() {
    if (output_ == nullptr) return;
    // The GIF muxer frees the packet it keeps nowhere else. Others would move a large file's bytes.
    if (trailer_due_ && std::strcmp(output_->oformat->name, "gif") == 0) write_trailer(output_);
    output_->pb = nullptr;
    avformat_free_context(output_);
    output_ = nullptr;
  }

  Status add_video(const ContainerChoice& choice) {
    const bool gif = std::strcmp(choice.container, "gif") == 0;
    if (!format_.copy_picture.empty() && !gif) {
      ZT_ASSIGN_OR_RETURN(video_copy_,
                          StreamCopier::open(format_.copy_picture, AVMEDIA_TYPE_VIDEO, output_));
      if (video_copy_) {
        description_ = video_copy_->description();
        return Status();
      }
    }
    ZT_ASSIGN_OR_RETURN(const AVCodec* codec, find_encoder(choice.video, path_, choice.container));
    video_ = new_context(codec);
    video_stream_ = new_stream(output_);
    if (!video_ || video_stream_ == nullptr) return error(Code::kResourceExhausted, "no memory");
    // 4:2:0 needs even sizes: an odd last row or column is repeated.
    video_->width = static_cast<int>(gif ? format_.width : (format_.width + 1) / 2 * 2);
    video_->height = static_cast<int>(gif ? format_.height : (format_.height + 1) / 2 * 2);
    video_->pix_fmt = gif ? AV_PIX_FMT_PAL8 : AV_PIX_FMT_YUV420P;
    video_->time_base = {1, format_.fps};
    video_->framerate = {format_.fps, 1};
    if (!gif) {
      // sRGB's primaries are BT.709's, and so is the matrix that players take for granted.
      video_->colorspace = AVCOL_SPC_BT709;
      video_->color_range = AVCOL_RANGE_MPEG;
      video_->color_primaries = AVCOL_PRI_BT709;
      video_->color_trc = AVCOL_TRC_IEC61966_2_1;
      video_->gop_size = format_.fps * 2;
    }
    if (output_->oformat->flags & AVFMT_GLOBALHEADER) video_->flags |= AV_CODEC_FLAG_GLOBAL_HEADER;
    set_picture_quality(video_.get());
    int code = open_encoder(video_.get(), codec);
    if (code >= 0) code = avcodec_parameters_from_context(video_stream_->codecpar, video_.get());
    if (code < 0)
      return cannot_start(code, *codec, str(video_->width, "x", video_->height, " pixels"));
    video_stream_->time_base = video_->time_base;
    video_stream_->avg_frame_rate = video_->framerate;
    description_ = describe_encoder(*codec, choice.video);

    picture_.reset(av_frame_alloc());
    if (!picture_) return error(Code::kResourceExhausted, "no memory for a frame");
    picture_->format = video_->pix_fmt;
    picture_->width = video_->width;
    picture_->height = video_->height;
    code = av_frame_get_buffer(picture_.get(), 0);
    if (code < 0) return ffmpeg_error(code, "no memory for a frame");
    if (gif) return Status();
    scaler_.reset(sws_getContext(video_->width, video_->height, AV_PIX_FMT_RGB24, video_->width,
                                 video_->height, video_->pix_fmt,
                                 SWS_BICUBIC | SWS_ACCURATE_RND | SWS_FULL_CHR_H_INP, nullptr,
                                 nullptr, nullptr));
    if (!scaler_)  // from one fixed format to another
      return error(Code::kResourceExhausted, "no memory for the colours of ", path_);
    code = sws_setColorspaceDetails(scaler_.get(), sws_getCoefficients(SWS_CS_DEFAULT), 1,
                                    sws_getCoefficients(SWS_CS_ITU709), 0, 0, 1 << 16, 1 << 16);
    return code < 0 ? failed(code, "cannot take the colours of") : Status();
  }

  Status add_audio(const ContainerChoice& choice) {
    if (!format_.copy_sound.empty()) {
      ZT_ASSIGN_OR_RETURN(audio_copy_,
                          StreamCopier::open(format_.copy_sound, AVMEDIA_TYPE_AUDIO, output_));
      if (audio_copy_) {
        describe_sound(audio_copy_->description());
        return Status();
      }
    }
    const auto& names =
        format_.exact_sound && !choice.exact_audio.empty() ? choice.exact_audio : choice.audio;
    ZT_ASSIGN_OR_RETURN(const AVCodec* codec, find_encoder(names, path_, choice.container));
    audio_ = new_context(codec);
    audio_stream_ = new_stream(output_);
    if (!audio_ || audio_stream_ == nullptr) return error(Code::kResourceExhausted, "no memory");
    const std::string_view name = codec->name;
    audio_->sample_rate = encoder_rate(*codec, format_.sample_rate);
    audio_->sample_fmt = name == "libopus"                       ? AV_SAMPLE_FMT_FLT
                         : name == "pcm_s16le" || name == "flac" ? AV_SAMPLE_FMT_S16
                                                                 : AV_SAMPLE_FMT_FLTP;
    av_channel_layout_default(&audio_->ch_layout, format_.channels);
    audio_->bit_rate = (format_.exact_sound ? 192000 : 96000) * format_.channels;
    audio_->time_base = {1, audio_->sample_rate};
    audio_->strict_std_compliance = FF_COMPLIANCE_EXPERIMENTAL;
    if (output_->oformat->flags & AVFMT_GLOBALHEADER) audio_->flags |= AV_CODEC_FLAG_GLOBAL_HEADER;
    int code = open_encoder(audio_.get(), codec);
    if (code >= 0) code = avcodec_parameters_from_context(audio_stream_->codecpar, audio_.get());
    if (code < 0)
      return cannot_start(code, *codec,
                          str(format_.channels, "-channel sound at ", audio_->sample_rate, " Hz"));
    audio_stream_->time_base = audio_->time_base;
    std::string description = describe_encoder(*codec, names);
    if (codec->id != AV_CODEC_ID_OPUS && audio_->sample_rate != format_.sample_rate)
      description += str(" at ", audio_->sample_rate, " Hz");
    describe_sound(description);

    SwrContext* swr = nullptr;
    AVChannelLayout layout = {};
    av_channel_layout_default(&layout, format_.channels);
    code = swr_alloc_set_opts2(&swr, &audio_->ch_layout, audio_->sample_fmt, audio_->sample_rate,
                               &layout, AV_SAMPLE_FMT_FLT, format_.sample_rate, 0, nullptr);
    resampler_.reset(swr);
    if (code >= 0) code = swr_init(swr);
    if (code < 0) return failed(code, "cannot resample the sound of");
    fifo_.reset(av_audio_fifo_alloc(audio_->sample_fmt, format_.channels, 4096));
    return fifo_ ? Status() : error(Code::kResourceExhausted, "no memory for sound");
  }

  void describe_sound(const std::string& codec) {
    description_ += description_.empty() ? codec : " + " + codec;
  }

  // RGB into the encoder's pixel format.
  void convert(const uint8_t* pixels) {
    const int width = picture_->width, height = picture_->height;
    if (video_->pix_fmt == AV_PIX_FMT_PAL8) {
      const PaletteImage image = quantise_colours(pixels, int64_t{width} * height);
      for (int y = 0; y < height; ++y)
        std::memcpy(picture_->data[0] + int64_t{y} * picture_->linesize[0],
                    image.indices.data() + int64_t{y} * width, static_cast<size_t>(width));
      std::memcpy(picture_->data[1], image.colours.data(), AVPALETTE_SIZE);
      return;
    }
    const int stride = padded_row(width * 3);
    const uint8_t* source = pad(pixels, stride);
    sws_scale(scaler_.get(), &source, &stride, 0, height, picture_->data, picture_->linesize);
  }

  // Rows of `stride` bytes, and an even number of them and of pixels where the format wants that.
  const uint8_t* pad(const uint8_t* pixels, int stride) {
    const int64_t w = picture_->width, h = picture_->height, row = format_.width * 3;
    padded_.resize(static_cast<size_t>(stride * h));
    for (int64_t y = 0; y < h; ++y) {
      const uint8_t* from = pixels + std::min(y, format_.height - 1) * row;
      uint8_t* to = padded_.data() + y * stride;
      std::memcpy(to, from, static_cast<size_t>(row));
      if (w > format_.width) std::memcpy(to + row, from + row - 3, 3);
    }
    return padded_.data();
  }

  Status resample(const uint8_t* samples, int64_t count, int64_t room) {
    if (room <= 0) return Status();
    uint8_t** planes = nullptr;
    int code = av_samples_alloc_array_and_samples(&planes, nullptr, format_.channels,
                                                  static_cast<int>(room), audio_->sample_fmt, 0);
    if (code < 0) return ffmpeg_error(code, "no memory for sound");
    code = swr_convert(resampler_.get(), planes, static_cast<int>(room),
                       samples ? &samples : nullptr, static_cast<int>(count));
    if (code > 0) code = av_audio_fifo_write(fifo_.get(), reinterpret_cast<void**>(planes), code);
    av_freep(&planes[0]);
    av_freep(&planes);
    return code < 0 ? failed(code, "cannot resample the sound of") : Status();
  }

  Status drain_fifo(bool all) {
    const int size = audio_->frame_size > 0 ? audio_->frame_size : 1024;
    while (av_audio_fifo_size(fifo_.get()) >= (all ? 1 : size)) {
      FramePtr frame(av_frame_alloc());
      if (!frame) return error(Code::kResourceExhausted, "no memory for sound");
      frame->nb_samples = std::min(size, av_audio_fifo_size(fifo_.get()));
      frame->format = audio_->sample_fmt;
      frame->sample_rate = audio_->sample_rate;
      av_channel_layout_copy(&frame->ch_layout, &audio_->ch_layout);
      int code = av_frame_get_buffer(frame.get(), 0);
      if (code < 0) return ffmpeg_error(code, "no memory for sound");
      av_audio_fifo_read(fifo_.get(), reinterpret_cast<void**>(frame->data), frame->nb_samples);
      frame->pts = next_sample_;
      next_sample_ += frame->nb_samples;
      ZT_RETURN_IF_ERROR(encode(audio_.get(), audio_stream_, frame.get()));
    }
    return Status();
  }

  // Null flushes the encoder.
  Status encode(AVCodecContext* codec, AVStream* stream, AVFrame* frame) {
    int code = send_frame(codec, frame);
    if (code < 0) return failed(code, "cannot encode");
    PacketPtr packet(av_packet_alloc());
    if (!packet) return error(Code::kResourceExhausted, "no memory to encode ", path_);
    while (true) {
      code = receive_packet(codec, packet.get());
      if (code == AVERROR(EAGAIN) || code == AVERROR_EOF) return Status();
      if (code < 0) return failed(code, "cannot encode");
      packet->stream_index = stream->index;
      if (packet->duration == 0 && codec == video_.get()) packet->duration = 1;
      av_packet_rescale_ts(packet.get(), codec->time_base, stream->time_base);
      code = write_packet(output_, packet.get());
      if (code < 0) return failed(code, "cannot write");
      if (output_->pb->error < 0) return failed(output_->pb->error, "cannot write");
    }
  }

  std::string path_, description_;
  ClipFormat format_;
  OutputIo io_;
  AVFormatContext* output_ = nullptr;
  bool trailer_due_ = false, tag_lost_ = false;
  MemoryWatch memory_;  // of the call that goes on
  std::unique_ptr<StreamCopier> video_copy_, audio_copy_;
  AVStream* video_stream_ = nullptr;
  AVStream* audio_stream_ = nullptr;
  CodecContextPtr video_, audio_;
  FramePtr picture_;
  ScalerPtr scaler_;
  ResamplerPtr resampler_;
  FifoPtr fifo_;
  std::vector<uint8_t> padded_;
  int64_t next_frame_ = 0, next_sample_ = 0;
};

Result<std::unique_ptr<ClipWriter>> create_writer(const std::string& path,
                                                  const ClipFormat& format) {
  auto writer = std::make_unique<FfmpegWriter>(path, format);
  ZT_RETURN_IF_ERROR(writer->begin());
  return std::unique_ptr<ClipWriter>(std::move(writer));
}

}  // namespace

}  // namespace zoetrope

extern "C" __attribute__((visibility("default"))) const zoetrope::MediaModule* zoetrope_media() {
  static const zoetrope::MediaModule module{
      zoetrope::kMediaAbi, &zoetrope::create_writer, &zoetrope::read_with_ffmpeg,
      &zoetrope::read_tags_with_ffmpeg, &zoetrope::measure_loudness_with_ffmpeg};
  return &module;
}
