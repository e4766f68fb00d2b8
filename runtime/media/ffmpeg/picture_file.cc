#include <algorithm>
#include <cctype>
#include <cstring>
#include <string_view>

#include "runtime/media/ffmpeg/animation.h"
#include "runtime/media/ffmpeg/icc.h"
#include "runtime/media/ffmpeg/inks.h"
#include "runtime/media/iso_boxes.h"
#include "runtime/media/jpeg.h"
#include "runtime/media/orientation.h"
#include "runtime/media/png_reading.h"
#include "runtime/media/riff_webp.h"
#include "runtime/media/tiff.h"

extern "C" {
#include <libavutil/pixdesc.h>
}

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
    {0, "\x0a\2\1"sv, AV_CODEC_ID_PCX},
    {0, "\x0a\3\1"sv, AV_CODEC_ID_PCX},
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

struct TiffTag {
  static constexpr int kKind = 254, kBits = 258, kCompression = 259, kColours = 262,
                       kExtraSamples = 338, kSampleFormat = 339, kReferenceBlack = 532;
};

// What FFmpeg would show wrongly, or would call damaged.
Status check_tiff(Bytes bytes, const std::string& path) {
  constexpr uint64_t kOldJpeg = 6, kJpeg = 7, kFloat = 3;
  // None, CCITT's, LZW, JPEG, deflate (two numbers), PackBits, LZMA.
  constexpr uint64_t kKnown[] = {1, 2, 3, 4, 5, kOldJpeg, kJpeg, 8, 32946, 32773, 34925};
  const uint64_t compression = tiff_value(bytes, TiffTag::kCompression).value_or(1);
  const auto refuse = [&](const std::string& what) {
    return error(Code::kUnsupported, what, " is not supported; save ", path, " as PNG or JPEG");
  };
  if ((tiff_value(bytes, TiffTag::kKind).value_or(0) & 1) != 0)
    return refuse("a raw photograph, or a TIFF file that begins with its preview,");
  if (compression == kOldJpeg || compression == kJpeg) return refuse("TIFF with JPEG inside");
  if (std::find(std::begin(kKnown), std::end(kKnown), compression) == std::end(kKnown))
    return refuse(str("TIFF packed by method ", compression));
  if (tiff_value(bytes, TiffTag::kSampleFormat) == kFloat) return refuse("TIFF of floating point");
  if (const uint64_t bits = tiff_value(bytes, TiffTag::kBits).value_or(1); bits > 16)
    return refuse(str("TIFF of ", bits, " bits a sample"));
  return Status();
}

// Where what FFmpeg says of a frame is less than what the file says.
void heed_tiff(Bytes bytes, AVFrame* frame, PictureFrame* picture) {
  constexpr uint64_t kYcc = 6;
  if (tiff_value(bytes, TiffTag::kColours) == kYcc)
    frame->color_range = tiff_value(bytes, TiffTag::kReferenceBlack).value_or(0) > 0
                             ? AVCOL_RANGE_MPEG
                             : AVCOL_RANGE_JPEG;
  const auto extra = tiff_value(bytes, TiffTag::kExtraSamples);
  if (extra == 0) picture->alpha = PictureFrame::Alpha::kNone;
  if (extra == 1) picture->alpha = PictureFrame::Alpha::kPremultiplied;
}

Status heed_png(Bytes bytes, const std::string& path, AVFrame* frame) {
  if (const auto points = png_code_points(bytes)) {
    frame->color_primaries = static_cast<AVColorPrimaries>(points->primaries);
    frame->color_trc = static_cast<AVColorTransferCharacteristic>(points->transfer);
    av_frame_remove_side_data(frame, AV_FRAME_DATA_ICC_PROFILE);
  } else if (const auto colours = png_colours(bytes)) {
    const MemoryWatch memory;
    const std::vector<uint8_t> profile = icc_profile_of(*colours);
    if (!profile.empty())
      if (AVFrameSideData* data =
              av_frame_new_side_data(frame, AV_FRAME_DATA_ICC_PROFILE, profile.size()))
        std::memcpy(data->data, profile.data(), profile.size());
    if (memory.refused(0)) return no_memory_to_read(path);
  }
  return Status();
}

// What its header says of colours: FFmpeg takes four inks for colours with transparency, leaves
// profiles aside, and does not say that YCbCr has its full range (ISO/IEC 15444-1, annex I.5.3).
Status heed_jpeg_2000(Bytes bytes, const std::string& path, AVFrame* frame) {
  constexpr uint64_t kEnumerated = 1, kProfile = 2, kAnyProfile = 3, kSrgb = 16, kGray = 17,
                     kYcc = 18;
  Bytes colours;
  each_iso_box(bytes, [&](std::string_view type, Bytes header) {
    if (type != "jp2h") return;
    each_iso_box(header, [&](std::string_view part, Bytes data) {
      if (part == "colr" && colours.empty()) colours = data;
    });
  });
  frame->color_range = AVCOL_RANGE_JPEG;
  if (colours.size() <= 3) return Status();
  const uint64_t space = iso_number(colours, 3, 4);
  const bool enumerated = colours[0] == kEnumerated;
  if (enumerated && space != kSrgb && space != kGray && space != kYcc)
    return error(Code::kUnsupported, path, " is JPEG 2000 of ",
                 space == 12 ? "CMYK" : str("colour space ", space),
                 ", which is not supported; save it as PNG or JPEG");
  if (colours[0] != kProfile && colours[0] != kAnyProfile) return Status();
  const Bytes profile = colours.subspan(3);
  AVFrameSideData* data = av_frame_new_side_data(frame, AV_FRAME_DATA_ICC_PROFILE, profile.size());
  if (data == nullptr) return no_memory_to_read(path);
  std::memcpy(data->data, profile.data(), profile.size());
  return Status();
}

void heed_tga(Bytes bytes, AVFrame* frame) {
  // FFmpeg takes gray of 8 bits with as many of alpha for colours of five bits.
  constexpr uint8_t kGray = 3, kPackedGray = 11;
  if ((bytes[2] == kGray || bytes[2] == kPackedGray) && bytes[16] == 16 &&
      av_get_bits_per_pixel(av_pix_fmt_desc_get(static_cast<AVPixelFormat>(frame->format))) <= 16)
    frame->format = AV_PIX_FMT_YA8;
}

}  // namespace

Result<FramePtr> decode_picture(Bytes bytes, AVCodecID id, const std::string& path) {
  const AVCodec* codec = avcodec_find_decoder(id);
  if (codec == nullptr)
    return error(Code::kUnsupported, path, " is a ", avcodec_get_name(id),
                 " picture, which this FFmpeg build (", av_version_info(),
                 ") cannot decode; save it as PNG or JPEG");
  ZT_ASSIGN_OR_RETURN(const CodecContextPtr decoder, open_decoder(*codec, nullptr, 1, path));
  PacketPtr packet(av_packet_alloc());
  FramePtr frame(av_frame_alloc());
  if (!packet || !frame) return no_memory_to_read(path);
  const MemoryWatch memory;
  int code = av_new_packet(packet.get(), static_cast<int>(bytes.size()));
  if (code < 0) return ffmpeg_error(code, "cannot decode " + path);
  std::memcpy(packet->data, bytes.data(), bytes.size());
  code = send_packet(decoder.get(), packet.get());
  if (code >= 0) code = send_packet(decoder.get(), nullptr);
  if (code >= 0) code = receive_frame(decoder.get(), frame.get());
  if (memory.refused(code)) return no_memory_to_read(path);
  if (code < 0) {
    // Sound files of a kind that the decoder does not know are not damaged.
    const Code kind = code == AVERROR_PATCHWELCOME ? Code::kUnsupported : Code::kDataLoss;
    const bool common = id == AV_CODEC_ID_MJPEG || id == AV_CODEC_ID_PNG || id == AV_CODEC_ID_WEBP;
    return error(
        kind, "cannot decode ", path, ": ",
        kind == Code::kUnsupported
            ? "this FFmpeg build lacks a feature that it uses; save it as PNG"
            : str("the picture is damaged or cut off",
                  common ? "" : ", or of a rare kind that this FFmpeg build does not know"));
  }
  return frame;
}

AVCodecID picture_codec(Bytes head, const std::string& path) {
  for (const Signature& s : kSignatures)
    if (has(head, s.at, s.bytes) && (s.id != AV_CODEC_ID_WEBP || has(head, 0, "RIFF"))) return s.id;
  if (head.size() > 2 && head[0] == 'P' && std::isspace(head[2]) != 0) {
    switch (head[1]) {  // numbers as text
      case '1': return AV_CODEC_ID_PBM;
      case '2': return AV_CODEC_ID_PGM;
      case '3': return AV_CODEC_ID_PPM;
    }
  }
  // TGA begins with nothing in particular; its header's third byte is one of these.
  if (ends_with(path, ".tga") && head.size() > 18 && head[1] <= 1 &&
      std::strchr("\1\2\3\11\12\13", head[2]) != nullptr && head[2] != 0)
    return AV_CODEC_ID_TARGA;
  return AV_CODEC_ID_NONE;
}

Result<FramePtr> decode_still(Bytes bytes, AVCodecID id, const std::string& path) {
  const auto palette = id == AV_CODEC_ID_PNG ? gray_as_palette(bytes) : std::nullopt;
  ZT_ASSIGN_OR_RETURN(FramePtr frame, decode_picture(palette ? Bytes(*palette) : bytes, id, path));
  // The fourth byte of a pixel means something only where the header has a mask for it.
  constexpr int kHeaderWithAlpha = 56;
  if (id == AV_CODEC_ID_BMP && frame->format == AV_PIX_FMT_BGRA && bytes.size() > 14 &&
      bytes[14] < kHeaderWithAlpha)
    frame->format = AV_PIX_FMT_BGR0;
  ZT_ASSIGN_OR_RETURN(std::optional<FramePtr> inks, picture_of_inks(bytes, id, path, *frame));
  if (inks) return std::move(*inks);
  if (id == AV_CODEC_ID_PNG) ZT_RETURN_IF_ERROR(heed_png(bytes, path, frame.get()));
  if (id == AV_CODEC_ID_JPEG2000) ZT_RETURN_IF_ERROR(heed_jpeg_2000(bytes, path, frame.get()));
  if (id == AV_CODEC_ID_TARGA) heed_tga(bytes, frame.get());
  // "Purely informative" (QOI 1.0): viewers show sRGB, which Pillow calls linear unless it is told.
  if (id == AV_CODEC_ID_QOI) frame->color_trc = AVCOL_TRC_IEC61966_2_1;
  return frame;
}

Status use_picture_file(Bytes bytes, AVCodecID id, const std::string& path,
                        std::vector<std::string>* notices, const UsePicture& use) {
  const int orientation = exif_orientation(bytes);
  if (id == AV_CODEC_ID_TIFF) ZT_RETURN_IF_ERROR(check_tiff(bytes, path));
  if (id == AV_CODEC_ID_WEBP && is_animated_webp(bytes))
    return use_animation(split_webp(bytes), id, path, orientation, use);
  if (id == AV_CODEC_ID_PNG && is_animated_png(bytes))
    return use_animation(split_apng(bytes), id, path, orientation, use);
  ZT_ASSIGN_OR_RETURN(const FramePtr frame, decode_still(bytes, id, path));
  if (id == AV_CODEC_ID_MJPEG && jpeg_breaks_off(bytes)) notices->push_back(breaks_off(path));
  PictureFrame p;
  p.frame = frame.get();
  p.orientation = id == AV_CODEC_ID_JPEGXL ? kUpright : orientation;  // its decoder turns by itself
  p.still = true;
  if (id == AV_CODEC_ID_TIFF) heed_tiff(bytes, frame.get(), &p);
  if (id == AV_CODEC_ID_EXR) p.alpha = PictureFrame::Alpha::kPremultiplied;
  return use(p).status();
}

}  // namespace zoetrope
