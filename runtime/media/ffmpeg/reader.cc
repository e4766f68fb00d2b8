#include <algorithm>
#include <cmath>
#include <deque>
#include <memory>

#include "runtime/media/ffmpeg/input.h"
#include "runtime/media/ffmpeg/module.h"
#include "runtime/media/ffmpeg/resampler.h"
#include "runtime/media/ffmpeg/to_rgb.h"
#include "runtime/media/orientation.h"

namespace zoetrope {
namespace {

constexpr int64_t kMaxFrames = 1 << 20;
constexpr double kSameTime = 1e-6;  // seconds that the arithmetic of times may be off

using Pixels = std::shared_ptr<const std::vector<uint8_t>>;
// Pixels of a frame that may not be wanted: made when asked for.
using Make = std::function<Result<Pixels>()>;

// Picks frames at the asked rate: output frame k shows the last input frame at or before k / fps;
// before the first one, the first.
class FramePicker {
 public:
  FramePicker(const ReadRequest& request, Media* media, const FrameSink& sink)
      : r_(request), media_(*media), sink_(sink) {}

  // False when enough is kept. `slack` in seconds: containers round times to their ticks.
  Result<bool> add(const Make& make, double time, double slack) {
    if (r_.fps == 0) return keep(make);
    if (previous_) {
      ZT_ASSIGN_OR_RETURN(const bool more, fill_until(time - slack));
      if (!more) return false;
    }
    previous_ = make;
    if (picked_ > 0 && slot_time() > time + slack) return true;
    return keep(previous_);
  }

  // The last frame lasts until `time`.
  Status end(double time) {
    if (r_.fps > 0 && previous_) ZT_RETURN_IF_ERROR(fill_until(time).status());
    for (const Make& make : tail_) ZT_RETURN_IF_ERROR(give(make).status());
    return Status();
  }

 private:
  double slot_time() const { return static_cast<double>(picked_) / r_.fps; }

  Result<bool> fill_until(double time) {
    while (slot_time() < time) {
      if (picked_ > kMaxFrames) return false;
      ZT_ASSIGN_OR_RETURN(const bool more, keep(previous_));
      if (!more) return false;
    }
    return true;
  }

  Result<bool> keep(const Make& make) {
    const int64_t index = picked_++;
    media_.all_frames = picked_;
    if (r_.first_frame < 0) {
      ZT_RETURN_IF_ERROR(make().status());  // pixels are smaller than most decoded frames
      tail_.push_back(make);
      if (static_cast<int64_t>(tail_.size()) > -r_.first_frame) tail_.pop_front();
      return index < kMaxFrames;
    }
    if (index < r_.first_frame) return index < kMaxFrames;
    if (media_.frames >= r_.max_frames) {
      media_.more_frames = true;
      return false;
    }
    return give(make);
  }

  Result<bool> give(const Make& make) {
    if (media_.frames >= r_.max_frames) return false;
    ZT_ASSIGN_OR_RETURN(const Pixels pixels, make());
    ++media_.frames;
    return sink_(*pixels);
  }

  const ReadRequest& r_;
  Media& media_;
  const FrameSink& sink_;
  std::deque<Make> tail_;
  Make previous_;
  int64_t picked_ = 0;
};

// "2:1 of 400x300" and the like would help nobody: only what is lost is said.
void note_cut(const ReadRequest& r, const std::string& path, double shape,
              std::vector<std::string>* notices) {
  const double wanted = static_cast<double>(r.width) / static_cast<double>(r.height);
  const double kept = std::min(shape / wanted, wanted / shape);
  if (r.fit == Fit::kCover && kept < 0.8)
    notices->push_back(str(path, ": ", static_cast<int>(std::lround(100 * (1 - kept))), "% of its ",
                           shape > wanted ? "width" : "height", " is cut off to fill ", r.width,
                           "x", r.height, " (--fit contain shows all of it)"));
}

Status read_video(const std::string& path, const ReadRequest& r, const FrameSink& sink,
                  Media* media) {
  FramePicker picker(r, media, sink);
  RgbConverter converter(r.background);
  double end = 0, shape = 0, decoded = 0;
  bool ended_early = false;
  ZT_RETURN_IF_ERROR(
      decode_pictures(path, r.fps, &media->notices, [&](const PictureFrame& p) -> Result<bool> {
        struct Held {
          FramePtr frame;
          Pixels pixels;
        };
        const auto held = std::make_shared<Held>();
        held->frame.reset(av_frame_clone(p.frame));
        if (!held->frame) return no_memory_to_read(path);
        const Make make = [&, held, still = p.still, alpha = p.alpha, pixel_aspect = p.pixel_aspect,
                           orientation = p.orientation]() -> Result<Pixels> {
          if (held->pixels) return held->pixels;
          const AVFrame& f = *held->frame;
          const bool coarse =
              r.width > 0 && std::min(f.width, f.height) >= 2 * std::max(r.width, r.height);
          auto rgb = converter.convert(f, still, coarse, alpha);
          if (!rgb.ok()) return rgb.status().with_context(path);
          int64_t width = f.width, height = f.height;
          double aspect = pixel_aspect;
          *rgb = turn(std::move(*rgb), width, height, orientation);
          if (swaps_sides(orientation)) {
            std::swap(width, height);
            aspect = 1 / aspect;
          }
          media->own_width =
              std::max<int64_t>(std::llround(static_cast<double>(width) * aspect), 1);
          // Rounded sizes in containers make ratios that come to less than half a pixel.
          if (media->own_width == width) aspect = 1;
          shape = static_cast<double>(width) * aspect / static_cast<double>(height);
          media->own_height = height;
          if (r.width == 0 && static_cast<double>(media->own_width) * static_cast<double>(height) >
                                  static_cast<double>(kMaxPixels))
            return error(Code::kDataLoss, path, ": its pixels are ", aspect,
                         " times as wide as high, which makes a picture of ", media->own_width, "x",
                         height, "; at most ", kMaxPixels, " pixels are read");
          if (media->width == 0) {  // later frames of another size become as large
            media->width = r.width > 0 ? r.width : media->own_width;
            media->height = r.height > 0 ? r.height : height;
          }
          held->pixels = std::make_shared<const std::vector<uint8_t>>(resize(
              *rgb, width, height, aspect, r.fit, media->width, media->height, r.background));
          held->frame.reset();
          return held->pixels;
        };
        end = p.seconds + p.duration;
        ++decoded;
        if (media->stated_rate == 0 && !p.still)
          media->stated_rate = p.rate > 0 ? p.rate : p.duration > 0 ? 1 / p.duration : 0;
        // A clock that counts frames (AVI, Y4M) rounds no time.
        const bool exact = p.duration > 0 && p.tick > 0.5 * p.duration;
        const double slack = exact ? kSameTime : r.fps > 0 ? std::min(p.tick, 0.25 / r.fps) : 0;
        ZT_ASSIGN_OR_RETURN(const bool more, picker.add(make, p.seconds, slack));
        ended_early = !more;
        return more;
      }));
  // A quarter of a frame is what containers' clocks and late begins add: no frame is made of it.
  const double rest = r.fps > 0 ? 0.25 / r.fps : 0;
  ZT_RETURN_IF_ERROR(picker.end(ended_early ? -1 : end - rest));
  if (decoded == 0) return error(Code::kDataLoss, path, ": none of its frames can be decoded");
  if (media->frames == 0) return error(Code::kDataLoss, path, " has no frame at the asked place");
  media->seconds = end;
  media->rate = end > 0 ? decoded / end : 0;
  if (r.width > 0) note_cut(r, path, shape, &media->notices);
  if (converter.had_alpha())
    media->notices.push_back(
        str(path, " has transparent parts; they are laid over a background of ",
            int{r.background.r}, ",", int{r.background.g}, ",", int{r.background.b}));
  if (!converter.ignored_profile().empty())
    media->notices.push_back(str(path, ": its colour profile is ", converter.ignored_profile(),
                                 " and not applied; colours may be a little off"));
  if (!converter.hdr().empty())
    media->notices.push_back(path + " is HDR (" + converter.hdr() +
                             "); its highlights are brought down to SDR");
  return Status();
}

int bits_of(const AVFrame& frame) {
  switch (av_get_packed_sample_fmt(static_cast<AVSampleFormat>(frame.format))) {
    case AV_SAMPLE_FMT_U8:
    case AV_SAMPLE_FMT_S16: return 16;
    case AV_SAMPLE_FMT_S32: return 24;
    default: return 32;
  }
}

// Collects the asked part of the sound.
class SampleTaker {
 public:
  SampleTaker(const ReadRequest& r, Media* media) : r_(r), media_(*media) {}

  bool take(const float* samples, int64_t count) {
    if (media_.channels == 0) return true;
    const int64_t skip = std::clamp<int64_t>(r_.first_sample - at_, 0, count);
    const int64_t room = most() - kept();
    const int64_t n = std::min(count - skip, room);
    if (n < count - skip) media_.more_samples = true;
    at_ += count;
    media_.samples.insert(media_.samples.end(), samples + skip * media_.channels,
                          samples + (skip + n) * media_.channels);
    return !media_.more_samples;
  }

  // Samples that are missing before those of the moment `seconds`, when `held` seconds are still
  // on their way. Less than 20 ms is rounding.
  int64_t gap_before(double seconds, double held) const {
    const double missing =
        (std::min(seconds, 1e6) - held) * media_.sample_rate - static_cast<double>(at_);
    return missing * 50 < media_.sample_rate ? 0 : std::llround(missing);
  }

  bool take_silence(int64_t missing) {
    const std::vector<float> silence(4096 * static_cast<size_t>(media_.channels));
    for (int64_t left = missing; left > 0; left -= 4096)
      if (!take(silence.data(), std::min<int64_t>(left, 4096))) return false;
    return true;
  }

 private:
  int64_t most() const {
    return r_.max_samples > 0 ? r_.max_samples
                              : std::llround(std::min(r_.max_seconds, 1e6) * media_.sample_rate);
  }
  int64_t kept() const { return static_cast<int64_t>(media_.samples.size()) / media_.channels; }

  const ReadRequest& r_;
  Media& media_;
  int64_t at_ = 0;  // samples that came, a channel
};

Status read_audio(const std::string& path, const ReadRequest& r, Media* media) {
  Resampler resampler(path, r.sample_rate, r.channels);
  SampleTaker taker(r, media);
  const TakeSamples take = [&](const float* samples, int64_t count) {
    return taker.take(samples, count);
  };
  ZT_RETURN_IF_ERROR(decode_sound(
      path, &media->notices, [&](const AVFrame& frame, double seconds) -> Result<bool> {
        if (media->channels == 0) {
          media->sample_rate = r.sample_rate > 0 ? r.sample_rate : frame.sample_rate;
          media->channels = r.channels > 0 ? r.channels : std::min(frame.ch_layout.nb_channels, 2);
          media->sample_bits = bits_of(frame);
          if (const int there = frame.ch_layout.nb_channels; there > 2)
            media->notices.push_back(str(path, " has ", there, " channels of sound; ",
                                         media->channels == 1 ? "one is" : "two are",
                                         " made of them, except where it is copied whole"));
          if (media->sample_rate <= 0 || media->channels <= 0)
            return error(Code::kDataLoss, path, ": sound of ", media->channels, " channels at ",
                         media->sample_rate, " Hz");
        }
        if (const int64_t gap = taker.gap_before(seconds, resampler.held()); gap > 0) {
          ZT_RETURN_IF_ERROR(resampler.finish(take));
          if (!taker.take_silence(gap)) return false;
        }
        return resampler.add(frame, take);
      }));
  if (!media->more_samples) ZT_RETURN_IF_ERROR(resampler.finish(take));
  constexpr float kLoudest = 1000;  // 60 dB above full scale: no sound, but numbers gone wrong
  for (const float sample : media->samples)
    if (!(std::abs(sample) <= kLoudest))
      return error(Code::kDataLoss, path, ": its sound has a sample of ", sample,
                   "; expected -1 to 1");
  return media->channels == 0 ? error(Code::kNotFound, path, " has no sound") : Status();
}

}  // namespace

Result<Media> read_with_ffmpeg(const std::string& path, const ReadRequest& request,
                               const FrameSink& sink) {
  av_log_set_level(AV_LOG_FATAL);
  Media media;
  if (request.max_frames > 0) ZT_RETURN_IF_ERROR(read_video(path, request, sink, &media));
  if (request.sound) ZT_RETURN_IF_ERROR(read_audio(path, request, &media));
  return media;
}

}  // namespace zoetrope
