#include <cctype>
#include <cstring>
#include <string_view>

#include "runtime/media/ffmpeg/input.h"
#include "runtime/media/ffmpeg/to_rgb.h"
#include "runtime/media/orientation.h"
#include "runtime/media/riff_webp.h"

namespace zoetrope {
namespace {

using Bytes = std::span<const uint8_t>;

bool has(Bytes b, size_t at, std::string_view text) {
  return at + text.size() <= b.size() && std::memcmp(b.data() + at, text.data(), text.size()) == 0;
}

struct Signature {
  size_t at;
  std::string_view bytes;
  AVCodecID id;
};

using namespace std::string_view_literals;
constexpr Signature kSignatures[] = {
    {0, "\xff\xd8\xff"sv, AV_CODEC_ID_MJPEG},
    {0, "\x89PNG\r\n\x1a\n"sv, AV_CODEC_ID_PNG},
    {8, "WEBP"sv, AV_CODEC_ID_WEBP},
    {0, "BM"sv, AV_CODEC_ID_BMP},
    {0, "II*\0"sv, AV_CODEC_ID_TIFF},
    {0, "MM\0*"sv, AV_CODEC_ID_TIFF},
    {0, "\0\0\0\x0cjP  \r\n\x87\n"sv, AV_CODEC_ID_JPEG2000},
    {0, "\xff\x4f\xff\x51"sv, AV_CODEC_ID_JPEG2000},
    {0, "\xff\x0a"sv, AV_CODEC_ID_JPEGXL},
    {0, "\0\0\0\x0cJXL \r\n\x87\n"sv, AV_CODEC_ID_JPEGXL},
    {0, "qoif"sv, AV_CODEC_ID_QOI},
    {0, "\x76\x2f\x31\x01"sv, AV_CODEC_ID_EXR},
#if LIBAVCODEC_VERSION_MAJOR >= 60
    {0, "#?RADIANCE"sv, AV_CODEC_ID_RADIANCE_HDR},
#endif
    {0, "8BPS"sv, AV_CODEC_ID_PSD},
    {0, "DDS "sv, AV_CODEC_ID_DDS},
    {0, "\x01\xda"sv, AV_CODEC_ID_SGI},
    {0, "\x0a\5\1"sv, AV_CODEC_ID_PCX},
    {0, "P4"sv, AV_CODEC_ID_PBM},
    {0, "P5"sv, AV_CODEC_ID_PGM},
    {0, "P6"sv, AV_CODEC_ID_PPM},
    {0, "P7\n"sv, AV_CODEC_ID_PAM},
};

bool ends_with(const std::string& path, std::string_view extension) {
  if (path.size() < extension.size()) return false;
  for (size_t i = 0; i < extension.size(); ++i)
    if (std::tolower(static_cast<unsigned char>(path[path.size() - extension.size() + i])) !=
        extension[i])
      return false;
  return true;
}

bool is_animated_png(Bytes head) {
  // acTL stands before the first IDAT, which is early: what precedes it is small.
  const std::string_view text(reinterpret_cast<const char*>(head.data()), head.size());
  const size_t animation = text.find("acTL"), data = text.find("IDAT");
  return animation != std::string_view::npos && animation < data;
}

// Pixels over pixels, straight alpha, 8 bits (Porter and Duff's "over").
void blend_over(const uint8_t* top, uint8_t* under) {
  const unsigned a = top[3], b = under[3] * (255 - a) / 255, sum = a + b;
  if (sum == 0) return;
  for (int c = 0; c < 3; ++c)
    under[c] = static_cast<uint8_t>((top[c] * a + under[c] * b + sum / 2) / sum);
  under[3] = static_cast<uint8_t>(sum);
}

// Draws one frame on the canvas [height, width, 4].
Status draw(const WebpFrame& f, int64_t width, const std::string& path, uint8_t* canvas) {
  ZT_ASSIGN_OR_RETURN(const FramePtr still, decode_picture(f.still, AV_CODEC_ID_WEBP, path));
  if (still->width != f.width || still->height != f.height)
    return error(Code::kDataLoss, path, ": a frame of ", still->width, "x", still->height,
                 " where ", f.width, "x", f.height, " was announced");
  ZT_ASSIGN_OR_RETURN(const std::vector<uint8_t> rgba, to_rgba(*still));
  for (int64_t y = 0; y < f.height; ++y)
    for (int64_t x = 0; x < f.width; ++x) {
      const uint8_t* from = &rgba[static_cast<size_t>((y * f.width + x) * 4)];
      uint8_t* to = canvas + ((f.y + y) * width + f.x + x) * 4;
      if (f.blend)
        blend_over(from, to);
      else
        std::memcpy(to, from, 4);
    }
  return Status();
}

Status use_animated_webp(Bytes bytes, const std::string& path, int orientation,
                         const UsePicture& use) {
  auto animation = split_webp(bytes);
  if (!animation.ok()) return animation.status().with_context(path);
  const int64_t width = animation->width, height = animation->height;
  if (width * height > kMaxPixels)
    return error(Code::kUnsupported, path, " is too large: ", width, "x", height, " pixels");
  FramePtr canvas(av_frame_alloc());
  if (!canvas) return error(Code::kResourceExhausted, "no memory to read ", path);
  canvas->format = AV_PIX_FMT_RGBA;
  canvas->width = static_cast<int>(width);
  canvas->height = static_cast<int>(height);
  std::vector<uint8_t> pixels(static_cast<size_t>(width * height * 4));
  canvas->data[0] = pixels.data();
  canvas->linesize[0] = static_cast<int>(width * 4);
  double seconds = 0;
  for (const WebpFrame& f : animation->frames) {
    ZT_RETURN_IF_ERROR(draw(f, width, path, pixels.data()));
    PictureFrame p;
    p.frame = canvas.get();
    p.seconds = seconds;
    p.duration = f.milliseconds > 10 ? f.milliseconds / 1000.0 : 0.1;  // as browsers have it
    p.tick = 1e-3;
    p.orientation = orientation;
    seconds += p.duration;
    ZT_ASSIGN_OR_RETURN(const bool more, use(p));
    if (!more) return Status();
    if (!f.dispose) continue;
    for (int64_t y = f.y; y < f.y + f.height; ++y)
      std::memset(&pixels[static_cast<size_t>((y * width + f.x) * 4)], 0,
                  static_cast<size_t>(f.width * 4));
  }
  return Status();
}

}  // namespace

AVCodecID picture_codec(Bytes head, const std::string& path) {
  for (const Signature& s : kSignatures)
    if (has(head, s.at, s.bytes) && (s.id != AV_CODEC_ID_WEBP || has(head, 0, "RIFF")))
      return s.id == AV_CODEC_ID_PNG && is_animated_png(head) ? AV_CODEC_ID_NONE : s.id;
  // TGA begins with nothing in particular; its header's third byte is one of these.
  if (ends_with(path, ".tga") && head.size() > 18 && head[1] <= 1 &&
      std::strchr("\1\2\3\11\12\13", head[2]) != nullptr && head[2] != 0)
    return AV_CODEC_ID_TARGA;
  return AV_CODEC_ID_NONE;
}

Result<FramePtr> decode_picture(Bytes bytes, AVCodecID id, const std::string& path) {
  const AVCodec* codec = avcodec_find_decoder(id);
  if (codec == nullptr)
    return error(Code::kUnsupported, path, " is a ", avcodec_get_name(id),
                 " picture, which this FFmpeg build (", av_version_info(),
                 ") cannot decode; save it as PNG or JPEG");
  CodecContextPtr decoder(avcodec_alloc_context3(codec));
  PacketPtr packet(av_packet_alloc());
  FramePtr frame(av_frame_alloc());
  if (!decoder || !packet || !frame)
    return error(Code::kResourceExhausted, "no memory to read ", path);
  decoder->max_pixels = kMaxPixels;
  int code = avcodec_open2(decoder.get(), codec, nullptr);
  if (code >= 0) code = av_new_packet(packet.get(), static_cast<int>(bytes.size()));
  if (code < 0) return ffmpeg_error(code, "cannot decode " + path);
  std::memcpy(packet->data, bytes.data(), bytes.size());
  code = avcodec_send_packet(decoder.get(), packet.get());
  if (code >= 0) code = avcodec_send_packet(decoder.get(), nullptr);
  if (code >= 0) code = avcodec_receive_frame(decoder.get(), frame.get());
  if (code < 0) {
    // Sound files of a kind that the decoder does not know are not damaged.
    const Code kind = code == AVERROR_PATCHWELCOME ? Code::kUnsupported : Code::kDataLoss;
    if (code == AVERROR(ENOMEM)) return ffmpeg_error(code, "cannot decode " + path);
    return error(kind, "cannot decode ", path, ": ",
                 kind == Code::kDataLoss ? "the picture is damaged or cut off"
                                         : "this FFmpeg build lacks a feature that it uses");
  }
  return frame;
}

Status use_picture_file(Bytes bytes, AVCodecID id, const std::string& path, const UsePicture& use) {
  const int orientation = exif_orientation(bytes);
  // FFmpeg decodes JPEG inside TIFF to black.
  constexpr int kCompression = 259, kOldJpeg = 6, kJpeg = 7;
  const uint64_t compression = id == AV_CODEC_ID_TIFF ? tiff_value(bytes, kCompression) : 0;
  if (compression == kOldJpeg || compression == kJpeg)
    return error(Code::kUnsupported, "TIFF with JPEG inside is not supported; save ", path,
                 " as PNG or JPEG");
  constexpr int kSampleFormat = 339, kFloat = 3;
  if (id == AV_CODEC_ID_TIFF && tiff_value(bytes, kSampleFormat) == kFloat)
    return error(Code::kUnsupported, "TIFF of floating point is not supported; save ", path,
                 " as PNG, or as EXR");
  if (id == AV_CODEC_ID_WEBP && is_animated_webp(bytes))
    return use_animated_webp(bytes, path, orientation, use);
  ZT_ASSIGN_OR_RETURN(const FramePtr frame, decode_picture(bytes, id, path));
  // The fourth byte of a pixel means something only where the header has a mask for it.
  constexpr int kHeaderWithAlpha = 56;
  if (id == AV_CODEC_ID_BMP && frame->format == AV_PIX_FMT_BGRA && bytes.size() > 14 &&
      bytes[14] < kHeaderWithAlpha)
    frame->format = AV_PIX_FMT_BGR0;
  PictureFrame p;
  p.frame = frame.get();
  p.orientation = id == AV_CODEC_ID_JPEGXL ? kUpright : orientation;  // its decoder turns by itself
  p.still = true;
  return use(p).status();
}

}  // namespace zoetrope
