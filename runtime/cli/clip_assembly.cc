#include "runtime/cli/clip_assembly.h"

#include <algorithm>
#include <cmath>

namespace zoetrope {
namespace {

constexpr int kFadesInSecond = 50;    // 20 ms
constexpr int kJointsInSecond = 200;  // 5 ms: how fast a step between old and new sound is gone

}  // namespace

int64_t ClipAssembly::total_frames(int64_t made) const {
  return files_.extend_frames + (made - known_.before.frames - known_.after.frames) +
         files_.lead_frames;
}

// Of sound alone, with the clip that it goes to or without.
ClipFormat ClipAssembly::sound_format(int64_t made) const {
  const KnownFiles::Shown& shown = files_.shown;
  ClipFormat f;
  f.width = shown.width;
  f.height = shown.height;
  f.frames = shown.frames;
  f.fps = shown.fps;
  f.copy_picture = files_.copy_picture;
  f.sample_rate = t_.sample_rate;
  f.channels = t_.channels;
  f.samples = made - known_samples(known_.before_sound) - known_samples(known_.after_sound) +
              known_samples(files_.extend_sound) + known_samples(files_.lead_sound);
  return f;
}

int64_t ClipAssembly::known_samples(const std::vector<float>& sound) const {
  return static_cast<int64_t>(sound.size()) / std::max(t_.channels, 1);
}

std::vector<int64_t> ClipAssembly::seams(const ClipShape& made) const {
  std::vector<int64_t> all;
  if (!t_.sound_alone) return all;
  const int64_t before = known_samples(files_.extend_sound),
                more = made.samples - known_samples(known_.before_sound) -
                       known_samples(known_.after_sound);
  if (before > 0) all.push_back(before);
  if (!files_.lead_sound.empty()) all.push_back(before + more);
  return all;
}

ClipFormat ClipAssembly::format(const ClipShape& made) const {
  return t_.sound_alone ? sound_format(made.samples) : format(made.frames);
}

ClipFormat ClipAssembly::format(int64_t made) const {
  ClipFormat f;
  f.width = t_.width;
  f.height = t_.height;
  f.frames = total_frames(made);
  f.fps = t_.fps;
  f.copy_picture = files_.copy_picture;
  if (f.frames <= 1 || (t_.sample_rate == 0 && files_.own_rate == 0)) return f;
  f.sample_rate = files_.own_rate > 0 ? files_.own_rate : t_.sample_rate;
  f.channels = files_.own_rate > 0 ? files_.own_channels : t_.channels;
  f.samples = samples_of_frames(f.frames, f.sample_rate, f.fps);
  if (files_.own_rate > 0) {
    f.sample_bits = files_.own_bits;
    f.exact_sound = true;
    f.copy_sound = files_.copy_sound;
  }
  return f;
}

Status ClipAssembly::copy_frames(const std::string& path) {
  ReadRequest r;
  r.width = t_.width;
  r.height = t_.height;
  r.fit = files_.fit;
  r.background = files_.background;
  r.fps = t_.fps;
  r.max_frames = INT64_MAX;
  if (t_.sound_alone) {  // as it is shown
    r.width = r.height = 0;
    r.fps = files_.shown.fps;
    r.max_frames = files_.shown.frames;
  }
  return read_media(path, r,
                    [&](std::span<const uint8_t> rgb) -> Result<bool> {
                      ZT_RETURN_IF_ERROR(out_.frames(rgb.data(), 1));
                      return true;
                    })
      .status();
}

Status ClipAssembly::begin_frames() {
  if (frames_begun_) return Status();
  frames_begun_ = true;
  return files_.extend.empty() ? Status() : copy_frames(files_.extend);
}

Status ClipAssembly::frames(const uint8_t* pixels, int64_t count) {
  ZT_RETURN_IF_ERROR(begin_frames());
  const int64_t size = t_.width * t_.height * 3;
  for (int64_t i = 0; i < count; ++i, ++frame_) {
    const uint8_t* shown = pixels + i * size;
    if (frame_ < known_.before.frames || frame_ >= files_.frames - known_.after.frames) continue;
    if (frame_ == 0 && known_.first.frames > 0 && known_.first_strength == 1 &&
        files_.first_as_given)
      shown = known_.first.pixels.data();
    if (frame_ == files_.frames - 1 && known_.last.frames > 0 && files_.last_as_given)
      shown = known_.last.pixels.data();
    if (frame_ < known_.video.frames) shown = known_.video.pixels.data() + frame_ * size;
    ZT_RETURN_IF_ERROR(out_.frames(shown, 1));
  }
  return Status();
}

Status ClipAssembly::begin_audio() {
  if (audio_begun_) return Status();
  audio_begun_ = true;
  if (files_.own_rate > 0)
    return out_.audio(files_.own_sound.data(),
                      static_cast<int64_t>(files_.own_sound.size()) / files_.own_channels);
  return put_audio(files_.extend_sound);
}

Status ClipAssembly::audio(const float* samples, int64_t count) {
  ZT_RETURN_IF_ERROR(begin_audio());
  const int64_t begin =
      t_.sound_alone ? known_samples(known_.before_sound) : t_.samples(known_.before.frames);
  const int64_t end = t_.sound_alone ? files_.samples - known_samples(known_.after_sound)
                                     : t_.samples(files_.frames) - t_.samples(known_.after.frames);
  const int64_t from = std::clamp<int64_t>(begin - sample_, 0, count);
  const int64_t to = std::clamp<int64_t>(end - sample_, from, count);
  const int64_t first = sample_ + from;  // of what is kept, in the model's samples
  sample_ += count;
  if (files_.own_rate > 0 || from == to) return Status();
  const auto channels = static_cast<size_t>(t_.channels);
  std::vector<float> fresh(samples + from * t_.channels, samples + to * t_.channels);
  if (!files_.extend_sound.empty() && step_.empty())
    for (size_t c = 0; c < channels; ++c)
      step_.push_back(files_.extend_sound[files_.extend_sound.size() - channels + c] - fresh[c]);
  for (size_t i = 0; i < fresh.size() && !step_.empty(); ++i) {
    const auto since = static_cast<double>(first - begin) + static_cast<double>(i / channels);
    const double weight = std::exp(-since * kJointsInSecond / t_.sample_rate);
    fresh[i] = std::clamp(fresh[i] + step_[i % channels] * static_cast<float>(weight), -1.0f, 1.0f);
  }
  return put_audio(fresh);
}

// Holds back what may have to fade.
Status ClipAssembly::put_audio(std::span<const float> samples) {
  const auto fade = static_cast<size_t>(t_.sample_rate / kFadesInSecond * t_.channels);
  held_.insert(held_.end(), samples.begin(), samples.end());
  if (held_.size() <= fade) return Status();
  const size_t ready = held_.size() - fade;
  ZT_RETURN_IF_ERROR(out_.audio(held_.data(), static_cast<int64_t>(ready) / t_.channels));
  held_.erase(held_.begin(), held_.begin() + static_cast<std::ptrdiff_t>(ready));
  return Status();
}

Status ClipAssembly::flush_end() {
  const auto channels = static_cast<size_t>(t_.channels);
  const bool loop = files_.loop || !files_.lead_to.empty();
  const size_t count = held_.size() / std::max<size_t>(channels, 1);
  if (!loop)
    for (size_t i = 0; i < held_.size(); ++i)
      held_[i] *= (static_cast<float>(count - 1 - i / channels) + 0.5f) / static_cast<float>(count);
  if (count > 0) ZT_RETURN_IF_ERROR(out_.audio(held_.data(), static_cast<int64_t>(count)));
  held_.clear();
  if (files_.lead_sound.empty()) return Status();
  return out_.audio(files_.lead_sound.data(),
                    static_cast<int64_t>(files_.lead_sound.size() / channels));
}

Status ClipAssembly::finish() {
  if (!files_.shown.path.empty()) ZT_RETURN_IF_ERROR(copy_frames(files_.shown.path));
  // Of a model without sound nothing has come that would have begun it.
  if (files_.own_rate > 0 && frame_ > 1) ZT_RETURN_IF_ERROR(begin_audio());
  if (t_.sample_rate > 0 && audio_begun_ && files_.own_rate == 0) ZT_RETURN_IF_ERROR(flush_end());
  if (files_.lead_frames > 0) ZT_RETURN_IF_ERROR(copy_frames(files_.lead_to));
  return Status();
}

}  // namespace zoetrope
