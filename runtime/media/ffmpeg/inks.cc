#include "runtime/media/ffmpeg/inks.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>

#include "runtime/media/ffmpeg/icc.h"
#include "runtime/media/ffmpeg/to_rgb.h"
#include "runtime/media/jpeg.h"
#include "runtime/media/tiff.h"

extern "C" {
#include <libavutil/pixdesc.h>
}

namespace zoetrope {
namespace {

using Bytes = std::span<const uint8_t>;

// A file in which the decoder sees four channels of which it knows nothing.
struct Unnamed {
  std::vector<uint8_t> file;
  bool ycc = false;       // the first three are coded as Y, Cb and Cr
  bool inverted = false;  // full means no ink, as Adobe has it and with it every JPEG
};

// FFmpeg multiplies where Adobe's marker says CMYK (transform 0), where there is none, and where
// components are called C, M, Y and K: a marker of transform 1 and numbers as names stop it.
std::optional<Unnamed> unnamed_jpeg(Bytes file) {
  constexpr uint8_t kAdobe = 0xee;
  constexpr size_t kComponents = 5, kFrameHead = 6, kTransform = 11, kFour = 4;
  constexpr uint8_t kMarker[] = {0xff, kAdobe, 0,   14, 'A', 'd', 'o', 'b',
                                 'e',  0,      100, 0,  0,   0,   0,   1};
  Unnamed out;
  out.inverted = true;
  out.file.assign(file.begin(), file.end());
  const auto at = [&](Bytes data) { return out.file.data() + (data.data() - file.data()); };
  std::array<uint8_t, kFour> names{};
  bool four = false;
  Bytes rest = file.subspan(std::min<size_t>(2, file.size())), data;
  uint8_t marker = 0;
  while (next_jpeg_segment(&rest, &marker, &data)) {
    if (marker == kAdobe && data.size() > kTransform && std::memcmp(data.data(), "Adobe", 5) == 0) {
      out.ycc = data[kTransform] == 2;
      at(data)[kTransform] = 1;
    }
    const bool frame =
        marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc;
    if (frame && data.size() >= kFrameHead + 3 * kFour && data[kComponents] == kFour) {
      four = true;
      for (size_t i = 0; i < kFour; ++i) {
        names[i] = data[kFrameHead + 3 * i];
        at(data)[kFrameHead + 3 * i] = static_cast<uint8_t>(i + 1);
      }
    }
    if (marker == kJpegScan && four && !data.empty())
      for (size_t i = 0; i < data[0] && 2 + 2 * i < data.size(); ++i)
        if (const auto name = std::find(names.begin(), names.end(), data[1 + 2 * i]);
            name != names.end())
          at(data)[1 + 2 * i] = static_cast<uint8_t>(name - names.begin() + 1);
  }
  if (!four) return std::nullopt;
  out.file.insert(out.file.begin() + 2, std::begin(kMarker), std::end(kMarker));
  return out;
}

std::optional<Unnamed> unnamed_tiff(Bytes file) {
  constexpr int kColours = 262, kSamples = 277, kInkSet = 332;
  constexpr uint64_t kSeparated = 5, kRgb = 2, kCmyk = 1;
  if (tiff_value(file, kColours) != kSeparated || tiff_value(file, kSamples) != 4 ||
      tiff_value(file, kInkSet).value_or(kCmyk) != kCmyk)
    return std::nullopt;
  Unnamed out;
  out.file = tiff_with(file, kColours, kRgb);
  return out;
}

bool is_of_inks(Bytes profile) {
  return profile.size() >= 20 && std::memcmp(profile.data() + 16, "CMYK", 4) == 0;
}

// [pixels, 4], 16 bits, full is all ink.
Result<std::vector<uint16_t>> inks_of(const AVFrame& frame, const Unnamed& file) {
  const auto pixels = static_cast<size_t>(frame.width) * static_cast<size_t>(frame.height);
  std::vector<uint16_t> out;
  const AVPixFmtDescriptor* d = av_pix_fmt_desc_get(static_cast<AVPixelFormat>(frame.format));
  // What the decoder takes for Y, Cb, Cr and alpha: the inks as they lie, two of them may be
  // coarse.
  constexpr uint64_t kOther = AV_PIX_FMT_FLAG_RGB | AV_PIX_FMT_FLAG_PAL | AV_PIX_FMT_FLAG_BE;
  const bool deep = d != nullptr && d->comp[0].depth == 16;
  if (!file.ycc && d != nullptr && (d->flags & kOther) == 0 &&
      (d->flags & AV_PIX_FMT_FLAG_PLANAR) != 0 && d->nb_components == 4 &&
      (deep || d->comp[0].depth == 8) && frame.data[3] != nullptr) {
    out.resize(4 * pixels);
    for (int c = 0; c < 4; ++c) {
      const bool coarse = c == 1 || c == 2;
      const int across = coarse ? d->log2_chroma_w : 0, down = coarse ? d->log2_chroma_h : 0;
      for (int y = 0; y < frame.height; ++y) {
        const uint8_t* row = frame.data[c] + static_cast<ptrdiff_t>(y >> down) * frame.linesize[c];
        uint16_t* to = &out[4 * static_cast<size_t>(y) * static_cast<size_t>(frame.width)] + c;
        for (int x = 0; x < frame.width; ++x)
          if (deep)
            std::memcpy(&to[4 * x], row + 2 * (x >> across), 2);
          else
            to[4 * x] = static_cast<uint16_t>(row[x >> across] * 257);
      }
    }
  } else {
    ZT_ASSIGN_OR_RETURN(out, to_rgba64(frame));
  }
  // RGB of YCCK is what its inks leave of paper: turned over twice, the inks themselves.
  if (file.inverted)
    for (size_t i = 0; i < out.size(); ++i)
      if (!file.ycc || i % 4 == 3) out[i] = static_cast<uint16_t>(65535 - out[i]);
  return out;
}

std::vector<uint8_t> multiplied(std::span<const uint16_t> inks) {
  std::vector<uint8_t> rgb;
  rgb.reserve(inks.size() / 4 * 3);
  for (size_t i = 0; i + 4 <= inks.size(); i += 4)
    for (size_t c = 0; c < 3; ++c) {
      const uint32_t light = (255 - inks[i + c] / 257) * (255u - inks[i + 3] / 257);
      rgb.push_back(static_cast<uint8_t>((light + 127) / 255));
    }
  return rgb;
}

}  // namespace

Result<std::optional<FramePtr>> picture_of_inks(Bytes bytes, AVCodecID id, const std::string& path,
                                                const AVFrame& decoded) {
  const auto file = id == AV_CODEC_ID_MJPEG  ? unnamed_jpeg(bytes)
                    : id == AV_CODEC_ID_TIFF ? unnamed_tiff(bytes)
                                             : std::nullopt;
  if (!file) return std::optional<FramePtr>();
  const AVFrameSideData* data = av_frame_get_side_data(&decoded, AV_FRAME_DATA_ICC_PROFILE);
  std::shared_ptr<const IccTransform> transform;
  if (data != nullptr && is_of_inks({data->data, static_cast<size_t>(data->size)})) {
    auto made = IccTransform::create({data->data, static_cast<size_t>(data->size)}, kInks);
    if (made.ok()) transform = *made;
  }
  ZT_ASSIGN_OR_RETURN(const FramePtr raw, decode_picture(file->file, id, path));
  ZT_ASSIGN_OR_RETURN(const std::vector<uint16_t> inks, inks_of(*raw, *file));
  const std::vector<uint8_t> rgb = transform ? transform->apply(inks) : multiplied(inks);
  FramePtr frame(av_frame_alloc());
  if (!frame) return no_memory_to_read(path);
  frame->format = AV_PIX_FMT_RGB24;
  frame->width = raw->width;
  frame->height = raw->height;
  if (av_frame_get_buffer(frame.get(), 0) < 0) return no_memory_to_read(path);
  const size_t row = static_cast<size_t>(raw->width) * 3;
  for (int y = 0; y < raw->height; ++y)
    std::memcpy(frame->data[0] + static_cast<ptrdiff_t>(y) * frame->linesize[0],
                rgb.data() + static_cast<size_t>(y) * row, row);
  // A profile that could not be applied stays, and is told.
  if (!transform && data != nullptr) {
    AVFrameSideData* kept =
        av_frame_new_side_data(frame.get(), AV_FRAME_DATA_ICC_PROFILE, data->size);
    if (kept == nullptr) return no_memory_to_read(path);
    std::memcpy(kept->data, data->data, data->size);
  }
  return std::optional<FramePtr>(std::move(frame));
}

}  // namespace zoetrope
