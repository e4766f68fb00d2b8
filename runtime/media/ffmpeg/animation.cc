#include "runtime/media/ffmpeg/animation.h"

#include <cstring>

#include "runtime/media/ffmpeg/to_rgb.h"

namespace zoetrope {
namespace {

// Pixels over pixels, straight alpha, 8 bits (Porter and Duff's "over").
void blend_over(const uint8_t* top, uint8_t* under) {
  const unsigned a = top[3], b = under[3] * (255 - a) / 255, sum = a + b;
  if (sum == 0) return;
  for (int c = 0; c < 3; ++c)
    under[c] = static_cast<uint8_t>((top[c] * a + under[c] * b + sum / 2) / sum);
  under[3] = static_cast<uint8_t>(sum);
}

// What a file says of its colours goes from one of its frames to the canvas.
Status copy_colours(const AVFrame& from, AVFrame* to) {
  to->color_primaries = from.color_primaries;
  to->color_trc = from.color_trc;
  const AVFrameSideData* profile = av_frame_get_side_data(&from, AV_FRAME_DATA_ICC_PROFILE);
  if (profile == nullptr || av_frame_get_side_data(to, AV_FRAME_DATA_ICC_PROFILE) != nullptr)
    return Status();
  AVFrameSideData* copy = av_frame_new_side_data(to, AV_FRAME_DATA_ICC_PROFILE, profile->size);
  if (copy == nullptr) return error(Code::kResourceExhausted, "no memory for a colour profile");
  std::memcpy(copy->data, profile->data, profile->size);
  return Status();
}

class Canvas {
 public:
  Canvas(const Animation& animation, AVCodecID id, const std::string& path)
      : width_(animation.width), height_(animation.height), id_(id), path_(path) {}

  Status begin() {
    // A few are held at once, in four bytes a pixel.
    constexpr int64_t kMost = kMaxPixels / 4;
    if (width_ < 1 || height_ < 1 || width_ > kMost || height_ > kMost / width_)
      return error(Code::kUnsupported, path_, " is too large: ", width_, "x", height_,
                   " pixels; an animation has at most ", kMost);
    frame_.reset(av_frame_alloc());
    if (!frame_) return no_memory_to_read(path_);
    pixels_.resize(static_cast<size_t>(width_ * height_ * 4));
    frame_->format = AV_PIX_FMT_RGBA;
    frame_->width = static_cast<int>(width_);
    frame_->height = static_cast<int>(height_);
    frame_->data[0] = pixels_.data();
    frame_->linesize[0] = static_cast<int>(width_ * 4);
    return Status();
  }

  Status draw(const AnimationFrame& f, std::span<const uint8_t> file) {
    ZT_ASSIGN_OR_RETURN(const FramePtr still, decode_still(file, id_, path_));
    if (still->width != f.width || still->height != f.height)
      return error(Code::kDataLoss, path_, ": a frame of ", still->width, "x", still->height,
                   " where ", f.width, "x", f.height, " was announced");
    ZT_RETURN_IF_ERROR(copy_colours(*still, frame_.get()));
    if (f.disposal == Disposal::kRevert) before_ = pixels_;
    ZT_ASSIGN_OR_RETURN(const std::vector<uint8_t> rgba, to_rgba(*still));
    for (int64_t y = 0; y < f.height; ++y)
      for (int64_t x = 0; x < f.width; ++x) {
        const uint8_t* from = &rgba[static_cast<size_t>((y * f.width + x) * 4)];
        uint8_t* to = row(f, y) + x * 4;
        if (f.blend)
          blend_over(from, to);
        else
          std::memcpy(to, from, 4);
      }
    return Status();
  }

  void dispose(const AnimationFrame& f) {
    if (f.disposal == Disposal::kRevert)
      std::memcpy(pixels_.data(), before_.data(), pixels_.size());
    if (f.disposal != Disposal::kClear) return;
    for (int64_t y = 0; y < f.height; ++y)
      std::memset(row(f, y), 0, static_cast<size_t>(f.width * 4));
  }

  const AVFrame* frame() const { return frame_.get(); }

 private:
  uint8_t* row(const AnimationFrame& f, int64_t y) {
    return pixels_.data() + ((f.y + y) * width_ + f.x) * 4;
  }

  int64_t width_, height_;
  AVCodecID id_;
  const std::string& path_;
  FramePtr frame_;
  std::vector<uint8_t> pixels_, before_;  // [height, width, 4], straight alpha
};

}  // namespace

Status use_animation(const Result<Animation>& animation, AVCodecID id, const std::string& path,
                     int orientation, const UsePicture& use) {
  if (!animation.ok()) return animation.status().with_context(path);
  Canvas canvas(*animation, id, path);
  ZT_RETURN_IF_ERROR(canvas.begin());
  PictureFrame p;
  p.tick = 1e-3;
  p.orientation = orientation;
  for (const AnimationFrame& f : animation->frames) {
    ZT_RETURN_IF_ERROR(canvas.draw(f, animation->still(f)));
    p.frame = canvas.frame();
    p.duration = f.seconds;
    ZT_ASSIGN_OR_RETURN(const bool more, use(p));
    if (!more) return Status();
    p.seconds += f.seconds;
    canvas.dispose(f);
  }
  return Status();
}

}  // namespace zoetrope
