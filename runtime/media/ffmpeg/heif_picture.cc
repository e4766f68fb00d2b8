#include "runtime/media/ffmpeg/heif_picture.h"

#include <libheif/heif.h>

#include <algorithm>
#include <cstring>
#include <memory>

#include "runtime/library.h"

namespace zoetrope {
namespace {

struct Free {
  void operator()(heif_context* p) const { heif_context_free(p); }
  void operator()(heif_image_handle* p) const { heif_image_handle_release(p); }
  void operator()(heif_image* p) const { heif_image_release(p); }
  void operator()(heif_color_profile_nclx* p) const { heif_nclx_color_profile_free(p); }
};
template <typename T>
using Owned = std::unique_ptr<T, Free>;

Status failed(const heif_error& e, const std::string& path) {
  switch (e.code) {
    case heif_error_Ok: return Status();
    case heif_error_Memory_allocation_error: return no_memory_to_read(path);
    case heif_error_Unsupported_feature:
    case heif_error_Unsupported_filetype:
    case heif_error_Plugin_loading_error:
      return error(Code::kUnsupported, "cannot read ", path, ": ", e.message, " (libheif ",
                   heif_get_version(), "); save it as PNG or JPEG");
    default: break;
  }
  return error(Code::kDataLoss, "cannot decode ", path, ": the picture is damaged or cut off (",
               e.message, ")");
}

constexpr const char* kReading = "reading a picture by libheif";

Status open(heif_context* context, const std::string& path) {
  const ForeignCode reading(ForeignCode::Kind::kReading, kReading);
  return failed(heif_context_read_from_file(context, path.c_str(), nullptr), path);
}

Result<Owned<heif_image>> decode(const heif_image_handle* handle, heif_colorspace space,
                                 heif_chroma chroma, const std::string& path) {
  const ForeignCode reading(ForeignCode::Kind::kReading, kReading);
  heif_image* decoded = nullptr;
  ZT_RETURN_IF_ERROR(failed(heif_decode_image(handle, &decoded, space, chroma, nullptr), path));
  return Owned<heif_image>(decoded);
}

// With the size of the plane that was decoded.
Result<FramePtr> frame_of(const heif_image* image, heif_channel channel, AVPixelFormat format,
                          const std::string& path) {
  FramePtr frame(av_frame_alloc());
  if (!frame) return no_memory_to_read(path);
  frame->format = format;
  frame->width = heif_image_get_width(image, channel);
  frame->height = heif_image_get_height(image, channel);
  if (frame->width < 1 || frame->height < 1 || frame->width > kMaxPixels / frame->height)
    return error(Code::kDataLoss, path, " decodes to ", frame->width, "x", frame->height,
                 " pixels, which its header does not say");
  if (av_frame_get_buffer(frame.get(), 0) < 0) return no_memory_to_read(path);
  return frame;
}

// Where libheif's decoders are files of their own it looks for them where its distribution has
// them, on the machine that built it: those of a package lie beside this library.
void load_packaged_decoders() {
  static const heif_error tried =
      heif_load_plugins((library_folder() + "/libheif").c_str(), nullptr, nullptr, 0);
  (void)tried;  // no such folder: they are libheif's own, or the distribution's
}

// Rows of `channels` samples a pixel; deep ones are spread to 16 bits.
void copy_pixels(const heif_image* image, int bits, int channels, AVFrame* frame) {
  int stride = 0;
  const uint8_t* from = heif_image_get_plane_readonly(image, heif_channel_interleaved, &stride);
  const auto samples = static_cast<size_t>(frame->width) * static_cast<size_t>(channels);
  for (int y = 0; y < frame->height; ++y) {
    const uint8_t* row = from + static_cast<ptrdiff_t>(y) * stride;
    uint8_t* to = frame->data[0] + static_cast<ptrdiff_t>(y) * frame->linesize[0];
    if (bits <= 8) {
      std::memcpy(to, row, samples);
      continue;
    }
    const uint32_t most = (1u << bits) - 1;
    for (size_t i = 0; i < samples; ++i) {
      const uint32_t value = row[2 * i] | static_cast<uint32_t>(row[2 * i + 1]) << 8;
      const auto wide = static_cast<uint16_t>((std::min(value, most) * 65535u + most / 2) / most);
      std::memcpy(to + 2 * i, &wide, 2);
    }
  }
}

Status add_colours(const heif_image_handle* handle, const std::string& path, AVFrame* frame) {
  frame->color_range = AVCOL_RANGE_JPEG;
  heif_color_profile_nclx* points = nullptr;
  if (heif_image_handle_get_nclx_color_profile(handle, &points).code == heif_error_Ok) {
    const Owned<heif_color_profile_nclx> owned(points);
    frame->color_primaries = static_cast<AVColorPrimaries>(points->color_primaries);
    frame->color_trc = static_cast<AVColorTransferCharacteristic>(points->transfer_characteristics);
  }
  const size_t size = heif_image_handle_get_raw_color_profile_size(handle);
  if (size == 0) return Status();
  AVFrameSideData* data = av_frame_new_side_data(frame, AV_FRAME_DATA_ICC_PROFILE, size);
  if (data == nullptr) return error(Code::kResourceExhausted, "no memory for a colour profile");
  return failed(heif_image_handle_get_raw_color_profile(handle, data->data), path);
}

bool has_limited_range(const heif_image_handle* handle) {
  heif_color_profile_nclx* points = nullptr;
  if (heif_image_handle_get_nclx_color_profile(handle, &points).code != heif_error_Ok) return false;
  const Owned<heif_color_profile_nclx> owned(points);
  return points->full_range_flag == 0;
}

// A picture of luma alone, as it is coded: libheif makes RGB of it as if its range were full. Null:
// it has colours or transparency.
Result<FramePtr> limited_gray(const heif_image_handle* handle, const std::string& path) {
  ZT_ASSIGN_OR_RETURN(const auto image,
                      decode(handle, heif_colorspace_undefined, heif_chroma_undefined, path));
  if (heif_image_get_colorspace(image.get()) != heif_colorspace_monochrome) return FramePtr();
  const int bits = heif_image_get_bits_per_pixel_range(image.get(), heif_channel_Y);
  int stride = 0;
  const uint8_t* from = heif_image_get_plane_readonly(image.get(), heif_channel_Y, &stride);
  if (from == nullptr || bits < 8 || bits > 16) return FramePtr();
  ZT_ASSIGN_OR_RETURN(FramePtr frame,
                      frame_of(image.get(), heif_channel_Y,
                               bits > 8 ? AV_PIX_FMT_GRAY16LE : AV_PIX_FMT_GRAY8, path));
  // Black is 16 and white 235 of 8 bits (ITU-T H.273, equation 24); swscale takes gray for full.
  const int black = 16 << (bits - 8), span = 219 << (bits - 8), most = bits > 8 ? 65535 : 255;
  for (int y = 0; y < frame->height; ++y, from += stride) {
    uint8_t* to = frame->data[0] + static_cast<ptrdiff_t>(y) * frame->linesize[0];
    for (int x = 0; x < frame->width; ++x) {
      const int luma = bits > 8 ? from[2 * x] | from[2 * x + 1] << 8 : from[x];
      const int64_t light = std::clamp(luma - black, 0, span);
      const auto value = static_cast<uint16_t>((light * most + span / 2) / span);
      if (bits > 8)
        std::memcpy(to + 2 * x, &value, 2);
      else
        to[x] = static_cast<uint8_t>(value);
    }
  }
  ZT_RETURN_IF_ERROR(add_colours(handle, path, frame.get()));
  return frame;
}

}  // namespace

Status use_heif_picture(const std::string& path, const UsePicture& use) {
  load_packaged_decoders();
  const Owned<heif_context> context(heif_context_alloc());
  if (!context) return no_memory_to_read(path);
  heif_context_set_max_decoding_threads(context.get(), 0);  // here, not on threads of its own
  ZT_RETURN_IF_ERROR(open(context.get(), path));
  heif_image_handle* raw = nullptr;
  ZT_RETURN_IF_ERROR(failed(heif_context_get_primary_image_handle(context.get(), &raw), path));
  const Owned<heif_image_handle> handle(raw);
  const int64_t wide = heif_image_handle_get_width(raw), high = heif_image_handle_get_height(raw);
  if (wide < 1 || high < 1 || wide > kMaxPixels / high)
    return error(Code::kUnsupported, path, " is too large: ", wide, "x", high, " pixels");
  const bool alpha = heif_image_handle_has_alpha_channel(raw) != 0;
  if (!alpha && has_limited_range(raw)) {
    ZT_ASSIGN_OR_RETURN(const FramePtr gray, limited_gray(raw, path));
    if (gray) {
      PictureFrame p;
      p.frame = gray.get();
      p.still = true;
      return use(p).status();
    }
  }
  const bool deep = heif_image_handle_get_luma_bits_per_pixel(raw) > 8;
  const heif_chroma chroma =
      deep ? (alpha ? heif_chroma_interleaved_RRGGBBAA_LE : heif_chroma_interleaved_RRGGBB_LE)
           : (alpha ? heif_chroma_interleaved_RGBA : heif_chroma_interleaved_RGB);
  ZT_ASSIGN_OR_RETURN(const auto image, decode(raw, heif_colorspace_RGB, chroma, path));
  ZT_ASSIGN_OR_RETURN(const FramePtr frame,
                      frame_of(image.get(), heif_channel_interleaved,
                               deep ? (alpha ? AV_PIX_FMT_RGBA64LE : AV_PIX_FMT_RGB48LE)
                                    : (alpha ? AV_PIX_FMT_RGBA : AV_PIX_FMT_RGB24),
                               path));
  copy_pixels(image.get(),
              heif_image_get_bits_per_pixel_range(image.get(), heif_channel_interleaved),
              alpha ? 4 : 3, frame.get());
  ZT_RETURN_IF_ERROR(add_colours(raw, path, frame.get()));
  PictureFrame p;
  p.frame = frame.get();
  p.still = true;
  if (alpha && heif_image_handle_is_premultiplied_alpha(raw) != 0)
    p.alpha = PictureFrame::Alpha::kPremultiplied;
  return use(p).status();
}

}  // namespace zoetrope
