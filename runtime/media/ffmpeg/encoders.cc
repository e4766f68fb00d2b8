#include "runtime/media/ffmpeg/encoders.h"

#include <algorithm>
#include <cstring>

namespace zoetrope {
namespace {

const ContainerChoice kChoices[] = {
    {"mp4", "mp4", {"libx264", "libopenh264", "mpeg4"}, {"aac", "libmp3lame"}, {}},
    {"mov", "mov", {"libx264", "libopenh264", "mpeg4"}, {"aac", "pcm_s16le"}, {"pcm_s16le"}},
    {"mkv",
     "matroska",
     {"libx264", "libopenh264", "libvpx-vp9", "mpeg4"},
     {"libopus", "aac", "pcm_s16le"},
     {"flac", "pcm_s16le"}},
    {"webm", "webm", {"libvpx-vp9", "libvpx"}, {"libopus", "libvorbis"}, {}},
    {"gif", "gif", {"gif"}, {}, {}},
};

std::string join(const std::vector<const char*>& names) {
  std::string text;
  for (const char* name : names) text += str(text.empty() ? "" : ", ", name);
  return text;
}

// Ends with 0; null: any.
const int* rates_of(const AVCodec& codec) {
#if LIBAVCODEC_VERSION_INT < AV_VERSION_INT(61, 13, 100)
  return codec.supported_samplerates;
#else
  const void* rates = nullptr;
  avcodec_get_supported_config(nullptr, &codec, AV_CODEC_CONFIG_SAMPLE_RATE, 0, &rates, nullptr);
  return static_cast<const int*>(rates);
#endif
}

}  // namespace

const ContainerChoice& container_choice(const std::string& container) {
  for (const ContainerChoice& choice : kChoices)
    if (container == choice.container) return choice;
  ZT_CHECK(false);
}

Result<const AVCodec*> find_encoder(const std::vector<const char*>& names, const std::string& path,
                                    const char* container) {
  for (const char* name : names)
    if (const AVCodec* codec = avcodec_find_encoder_by_name(name)) return codec;
  return error(Code::kUnavailable, path, ": this FFmpeg build has none of the encoders ",
               join(names), " that .", container, " takes");
}

std::string describe_codec(AVCodecID id) {
  switch (id) {
    case AV_CODEC_ID_H264: return "H.264";
    case AV_CODEC_ID_MPEG4: return "MPEG-4 part 2";
    case AV_CODEC_ID_VP8: return "VP8";
    case AV_CODEC_ID_VP9: return "VP9";
    case AV_CODEC_ID_GIF: return "GIF";
    case AV_CODEC_ID_AAC: return "AAC";
    case AV_CODEC_ID_MP3: return "MP3";
    case AV_CODEC_ID_OPUS: return "Opus";
    case AV_CODEC_ID_VORBIS: return "Vorbis";
    case AV_CODEC_ID_FLAC: return "FLAC";
    case AV_CODEC_ID_PCM_S16LE: return "16-bit PCM";
    default: return avcodec_get_name(id);
  }
}

std::string describe_encoder(const AVCodec& codec, const std::vector<const char*>& wanted) {
  const std::string name = describe_codec(codec.id);
  if (std::strcmp(codec.name, wanted[0]) == 0) return name;
  return str(name, " (this FFmpeg build has no ", wanted[0], ")");
}

int encoder_rate(const AVCodec& codec, int rate) {
  if (codec.id == AV_CODEC_ID_OPUS) return 48000;
  const int* rates = rates_of(codec);
  if (rates == nullptr) return rate;
  int above = 0, highest = 0;
  for (; *rates != 0; ++rates) {
    if (*rates >= rate && (above == 0 || *rates < above)) above = *rates;
    highest = std::max(highest, *rates);
  }
  return above > 0 ? above : highest;
}

void set_picture_quality(AVCodecContext* video) {
  video->thread_count = 1;
  const std::string_view name = video->codec->name;
  if (name == "libx264") {
    av_opt_set(video->priv_data, "crf", "17", 0);
    av_opt_set(video->priv_data, "preset", "medium", 0);
    // With AVX-512, x264's macroblock tree reads memory that it never wrote (measured with 0.164
    // at 48x32: the file followed MALLOC_PERTURB_), so the same clip would not be the same file.
    av_opt_set(video->priv_data, "mbtree", "0", 0);
  } else if (name == "libvpx-vp9" || name == "libvpx") {
    av_opt_set(video->priv_data, "crf", name == "libvpx" ? "8" : "20", 0);
    av_opt_set(video->priv_data, "cpu-used", "3", 0);
    video->bit_rate = name == "libvpx" ? 8000000 : 0;  // VP9: 0 leaves it to crf; VP8: a ceiling
  } else if (name == "mpeg4") {
    video->flags |= AV_CODEC_FLAG_QSCALE;
    video->global_quality = 3 * FF_QP2LAMBDA;
  } else if (name == "libopenh264") {
    video->bit_rate = 4000000;
  }
}

}  // namespace zoetrope
