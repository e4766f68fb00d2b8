#include "runtime/media/ffmpeg/to_rgb.h"

#include <algorithm>
#include <cstring>

#include "runtime/media/ffmpeg/input.h"
#include "runtime/media/tone.h"

extern "C" {
#include <libavutil/pixdesc.h>
}

namespace zoetrope {
namespace {

bool is_rgb(const AVPixFmtDescriptor& d) {
  return (d.flags & (AV_PIX_FMT_FLAG_RGB | AV_PIX_FMT_FLAG_PAL)) != 0;
}

std::string coding_name(const AVColorSpace& space) {
  const int number = number_of(space);
  const char* name = number >= 0 && number < AVCOL_SPC_NB ? av_color_space_name(space) : nullptr;
  return name != nullptr ? name : str("number ", number);
}

// SWS_CS_... of the matrix that made the frame's YUV. Untagged: BT.709 for HD, BT.601 below, as
// players have it.
Result<int> matrix_of(const AVFrame& frame, bool still) {
  switch (number_of(frame.colorspace)) {
    case AVCOL_SPC_BT709: return SWS_CS_ITU709;
    case AVCOL_SPC_FCC: return SWS_CS_FCC;
    case AVCOL_SPC_BT470BG:
    case AVCOL_SPC_SMPTE170M: return SWS_CS_ITU601;
    case AVCOL_SPC_SMPTE240M: return SWS_CS_SMPTE240M;
    case AVCOL_SPC_BT2020_NCL: return SWS_CS_BT2020;
    case AVCOL_SPC_RGB:
    case AVCOL_SPC_RESERVED:
    case AVCOL_SPC_UNSPECIFIED:
      return !still && (frame.width >= 1280 || frame.height > 576) ? SWS_CS_ITU709 : SWS_CS_ITU601;
    default:
      return error(Code::kUnsupported, "colours coded as ", coding_name(frame.colorspace),
                   " are not supported; convert it with ffmpeg to BT.709 first");
  }
}

bool is_full_range(const AVFrame& frame, const AVPixFmtDescriptor& d) {
  if (number_of(frame.color_range) == AVCOL_RANGE_JPEG) return true;
  if (number_of(frame.color_range) == AVCOL_RANGE_MPEG) return false;
  const bool gray = d.nb_components <= 2;
  return is_rgb(d) || gray || std::string_view(d.name).rfind("yuvj", 0) == 0;
}

// Chroma between pixels and exact rounding; `coarse` does without, several times as fast.
Result<std::vector<uint8_t>> repack(const AVFrame& frame, AVPixelFormat format, bool still,
                                    bool coarse = false) {
  const auto from = static_cast<AVPixelFormat>(frame.format);
  const AVPixFmtDescriptor* d = av_pix_fmt_desc_get(from);
  if (d == nullptr || frame.width <= 0 || frame.height <= 0 ||
      int64_t{frame.width} * frame.height > kMaxPixels)
    return error(Code::kUnsupported, "a picture of ", frame.width, "x", frame.height,
                 " pixels in an unknown format");
  const MemoryWatch memory;
  ScalerPtr scaler(sws_getContext(
      frame.width, frame.height, from, frame.width, frame.height, format,
      coarse ? SWS_BILINEAR
             : SWS_BICUBIC | SWS_ACCURATE_RND | SWS_FULL_CHR_H_INT | SWS_FULL_CHR_H_INP,
      nullptr, nullptr, nullptr));
  if (!scaler && sws_isSupportedInput(from) > 0)
    return error(Code::kResourceExhausted, "no memory for converting pixels of the format ",
                 d->name);
  if (!scaler)
    return error(Code::kUnsupported, "pixels of the format ", d->name, " are not supported");
  ZT_ASSIGN_OR_RETURN(const int matrix, matrix_of(frame, still));
  sws_setColorspaceDetails(scaler.get(), sws_getCoefficients(matrix), is_full_range(frame, *d),
                           sws_getCoefficients(matrix), 1, 0, 1 << 16, 1 << 16);
  const int row = av_image_get_linesize(format, frame.width, 0), wide = padded_row(row);
  const auto height = static_cast<size_t>(frame.height);
  std::vector<uint8_t> out(static_cast<size_t>(wide) * height);
  uint8_t* planes[] = {out.data(), nullptr, nullptr, nullptr};
  const int strides[] = {wide, 0, 0, 0};
  const int code =
      sws_scale(scaler.get(), frame.data, frame.linesize, 0, frame.height, planes, strides);
  if (memory.refused(code))
    return error(Code::kResourceExhausted, "no memory for converting pixels of the format ",
                 d->name);
  if (code < 0)
    return error(Code::kUnsupported, "pixels of the format ", d->name, " cannot be converted");
  for (size_t y = 1; y < height; ++y)
    std::memmove(&out[y * static_cast<size_t>(row)], &out[y * static_cast<size_t>(wide)],
                 static_cast<size_t>(row));
  out.resize(height * static_cast<size_t>(row));
  return out;
}

// 16 bits in the order of `wide`. Pictures of 8 bits, repacked as `narrow`, are spread, so that no
// step of a scaler rounds.
Result<std::vector<uint16_t>> to_wide(const AVFrame& frame, const AVPixFmtDescriptor& d,
                                      AVPixelFormat wide, AVPixelFormat narrow, bool still,
                                      bool coarse) {
  const bool deep = d.comp[0].depth > 8;
  ZT_ASSIGN_OR_RETURN(const std::vector<uint8_t> bytes,
                      repack(frame, deep ? wide : narrow, still, coarse));
  std::vector<uint16_t> out(bytes.size() / (deep ? 2 : 1));
  if (deep)
    std::memcpy(out.data(), bytes.data(), bytes.size());
  else
    for (size_t i = 0; i < out.size(); ++i) out[i] = static_cast<uint16_t>(bytes[i] * 257);
  return out;
}

// [height, width, 3].
Result<std::vector<uint16_t>> to_rgb48(const AVFrame& frame, const AVPixFmtDescriptor& d,
                                       bool still, bool coarse) {
  return to_wide(frame, d, AV_PIX_FMT_RGB48, AV_PIX_FMT_RGB24, still, coarse);
}

// The colours of a frame whose colours were multiplied by its alpha, [height, width, 3], 16 bits.
Result<std::vector<uint16_t>> unmultiplied(const AVFrame& frame, bool still, bool coarse) {
  ZT_ASSIGN_OR_RETURN(const std::vector<uint8_t> bytes,
                      repack(frame, AV_PIX_FMT_RGBA64, still, coarse));
  std::vector<uint16_t> rgba(bytes.size() / 2), out;
  std::memcpy(rgba.data(), bytes.data(), bytes.size());
  out.reserve(rgba.size() / 4 * 3);
  for (size_t i = 0; i + 4 <= rgba.size(); i += 4) {
    const uint32_t a = std::max<uint32_t>(rgba[i + 3], 1);
    for (size_t c = 0; c < 3; ++c)
      out.push_back(
          static_cast<uint16_t>(std::min<uint32_t>((rgba[i + c] * 65535u + a / 2) / a, 65535)));
  }
  return out;
}

// PAL8 has an alpha in its palette.
bool may_have_alpha(const AVPixFmtDescriptor& d) {
  return (d.flags & (AV_PIX_FMT_FLAG_ALPHA | AV_PIX_FMT_FLAG_PAL)) != 0;
}

Light light_of(const AVFrame& frame, const AVPixFmtDescriptor& d) {
  Light light;
  if (number_of(frame.color_trc) == AVCOL_TRC_SMPTE2084) light.transfer = Light::kPq;
  if (number_of(frame.color_trc) == AVCOL_TRC_ARIB_STD_B67) light.transfer = Light::kHlg;
  if (number_of(frame.color_trc) == AVCOL_TRC_LINEAR || (d.flags & AV_PIX_FMT_FLAG_FLOAT) != 0)
    light.transfer = Light::kLinear;
  if (number_of(frame.color_primaries) == AVCOL_PRI_BT2020) light.primaries = Light::kBt2020;
  if (number_of(frame.color_primaries) == AVCOL_PRI_SMPTE432) light.primaries = Light::kDisplayP3;
  return light;
}

}  // namespace

// What the frame's own profile makes of its colours; null where that is sRGB or not known.
const IccTransform* RgbConverter::profile_of(const AVFrame& frame) {
  const AVFrameSideData* data = av_frame_get_side_data(&frame, AV_FRAME_DATA_ICC_PROFILE);
  if (data == nullptr) return nullptr;
  const std::span bytes(data->data, static_cast<size_t>(data->size));
  if (std::equal(bytes.begin(), bytes.end(), profile_.begin(), profile_.end()))
    return transform_.get();
  profile_.assign(bytes.begin(), bytes.end());
  transform_ = nullptr;
  auto transform = IccTransform::create(bytes);
  if (!transform.ok())
    ignored_profile_ = transform.status().message();
  else if (!(*transform)->is_srgb())
    transform_ = *transform;
  return transform_.get();
}

Result<std::vector<uint8_t>> to_rgba(const AVFrame& frame) {
  return repack(frame, AV_PIX_FMT_RGBA, true);
}

Result<std::vector<uint16_t>> to_rgba64(const AVFrame& frame) {
  const AVPixFmtDescriptor* d = av_pix_fmt_desc_get(static_cast<AVPixelFormat>(frame.format));
  if (d == nullptr) return error(Code::kUnsupported, "an unknown pixel format");
  return to_wide(frame, *d, AV_PIX_FMT_RGBA64, AV_PIX_FMT_RGBA, true, false);
}

std::vector<uint8_t> RgbConverter::managed(const AVFrame& frame, std::span<const uint16_t> wide,
                                           const Light& light) {
  if (!light.is_srgb()) {
    if (light.transfer == Light::kPq) hdr_ = "PQ";
    if (light.transfer == Light::kHlg) hdr_ = "HLG";
    return to_srgb(wide, light);
  }
  if (const IccTransform* profile = profile_of(frame)) return profile->apply(wide);
  std::vector<uint8_t> rgb(wide.size());
  for (size_t i = 0; i < rgb.size(); ++i) rgb[i] = static_cast<uint8_t>((wide[i] + 128) / 257);
  return rgb;
}

Result<std::vector<uint8_t>> RgbConverter::convert(const AVFrame& frame, bool still, bool coarse,
                                                   PictureFrame::Alpha alpha) {
  const AVPixFmtDescriptor* d = av_pix_fmt_desc_get(static_cast<AVPixelFormat>(frame.format));
  if (d == nullptr) return error(Code::kUnsupported, "an unknown pixel format");
  const Light light = light_of(frame, *d);
  const bool transparent = may_have_alpha(*d) && alpha != PictureFrame::Alpha::kNone;
  const bool premultiplied = transparent && alpha == PictureFrame::Alpha::kPremultiplied;
  const bool plain = light.is_srgb() && profile_of(frame) == nullptr && !premultiplied;
  if (plain && !transparent) return repack(frame, AV_PIX_FMT_RGB24, still, coarse);
  std::vector<uint8_t> rgba;
  if (transparent) {
    ZT_ASSIGN_OR_RETURN(rgba, repack(frame, AV_PIX_FMT_RGBA, still, coarse));
  }
  std::vector<uint8_t> rgb;
  if (premultiplied) {
    ZT_ASSIGN_OR_RETURN(const std::vector<uint16_t> wide, unmultiplied(frame, still, coarse));
    rgb = managed(frame, wide, light);
  } else if (!plain) {
    ZT_ASSIGN_OR_RETURN(const std::vector<uint16_t> wide, to_rgb48(frame, *d, still, coarse));
    rgb = managed(frame, wide, light);
  }
  if (!transparent) return rgb;
  const auto pixels = static_cast<size_t>(frame.width) * static_cast<size_t>(frame.height);
  if (plain) rgb.resize(pixels * 3);
  for (size_t i = 0; i < pixels; ++i) {
    const unsigned a = rgba[4 * i + 3];
    had_alpha_ = had_alpha_ || a != 255;
    const uint8_t under[] = {background_.r, background_.g, background_.b};
    for (size_t c = 0; c < 3; ++c) {
      const unsigned over = plain ? rgba[4 * i + c] : rgb[3 * i + c];
      rgb[3 * i + c] = static_cast<uint8_t>((over * a + under[c] * (255 - a) + 127) / 255);
    }
  }
  return rgb;
}

}  // namespace zoetrope
