#include "runtime/cli/known_sound.h"

#include <sys/stat.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "runtime/cli/command.h"

namespace zoetrope {

bool same_file(const std::string& a, const std::string& b) {
  struct stat x {
  }, y{};
  return a == b || (::stat(a.c_str(), &x) == 0 && ::stat(b.c_str(), &y) == 0 &&
                    x.st_dev == y.st_dev && x.st_ino == y.st_ino);
}

Result<Media> read_frames(const std::string& path, const ReadRequest& request,
                          const FrameSink& sink) {
  return read_media(path, request, [&](std::span<const uint8_t> rgb) -> Result<bool> {
    if (interrupted()) return error(Code::kCancelled, "cancelled while reading ", path);
    return sink(rgb);
  });
}

Result<Media> read_frames(const std::string& path, const ReadRequest& request) {
  std::vector<uint8_t> pixels;
  ZT_ASSIGN_OR_RETURN(Media media,
                      read_frames(path, request, [&](std::span<const uint8_t> rgb) -> Result<bool> {
                        pixels.insert(pixels.end(), rgb.begin(), rgb.end());
                        return true;
                      }));
  media.pixels = std::move(pixels);
  return media;
}

void take_notices(Media* media, std::vector<std::string>* notices) {
  for (std::string& notice : media->notices)
    if (std::find(notices->begin(), notices->end(), notice) == notices->end())
      notices->push_back(std::move(notice));
}

namespace {

// Of one file's sound: 2 GiB, 93 minutes of stereo at 48 kHz.
constexpr int64_t kMostValues = int64_t{1} << 29;

}  // namespace

int64_t most_sound_samples(const MediaTarget& target) { return kMostValues / target.channels; }

Status check_sound_length(const std::string& path, const MediaTarget& target, int64_t samples) {
  const int64_t most = most_sound_samples(target);
  if (samples <= most) return Status();
  return error(Code::kInvalidArgument, path, ": its sound is longer than the ",
               static_cast<double>(most) / target.sample_rate, " s that are read, of ",
               target.channels, " channels at ", target.sample_rate,
               " Hz; give the part that is next to what is made");
}

namespace {

class SoundReader {
 public:
  SoundReader(const KnownFlags& flags, const MediaTarget& target, const ReadRequest& pictures,
              KnownFiles* out)
      : flags_(flags), t_(target), pictures_(pictures), out_(*out) {}

  Status read() {
    if (!flags_.audio.empty())
      return error(Code::kInvalidArgument,
                   "--audio: all of the sound would be known, and this model makes nothing else; "
                   "--extend goes on from it");
    if (!flags_.extend.empty() || !flags_.lead_to.empty()) ZT_RETURN_IF_ERROR(read_sounds());
    return flags_.video.empty() ? Status() : read_shown();
  }

 private:
  // Sound at one end, whole, and as much of it as the model is given: whole latents, so that what
  // is new begins with one.
  Status read_sound(const std::string& path, bool at_begin, std::vector<float>* known,
                    std::vector<float>* whole) {
    ReadRequest r;
    r.sound = true;
    r.sample_rate = t_.sample_rate;
    r.channels = t_.channels;
    // A small file can be long: whether it goes on behind is seen before anything is kept.
    r.first_sample = most_sound_samples(t_);
    r.max_samples = 1;
    ZT_ASSIGN_OR_RETURN(const Media behind, read_media(path, r));
    if (!behind.samples.empty())
      ZT_RETURN_IF_ERROR(check_sound_length(path, t_, r.first_sample + 1));
    r.max_samples = std::exchange(r.first_sample, 0);
    ZT_ASSIGN_OR_RETURN(Media media, read_media(path, r));
    take_notices(&media, &out_.notices);
    *whole = std::move(media.samples);
    const int64_t count = static_cast<int64_t>(whole->size()) / t_.channels;
    const int64_t kept = std::min(count, t_.most_known) / t_.latent * t_.latent;
    if (kept == 0)
      return error(Code::kInvalidArgument, path, " has ", count, " samples at ", t_.sample_rate,
                   " Hz; this model goes on from ", t_.latent, " at least");
    const auto values = static_cast<std::ptrdiff_t>(kept * t_.channels);
    known->assign(at_begin ? whole->end() - values : whole->begin(),
                  at_begin ? whole->end() : whole->begin() + values);
    return Status();
  }

  Status read_sounds() {
    KnownMedia& m = out_.media;
    if (!flags_.extend.empty())
      ZT_RETURN_IF_ERROR(read_sound(flags_.extend, true, &m.before_sound, &out_.extend_sound));
    if (!flags_.lead_to.empty())
      ZT_RETURN_IF_ERROR(read_sound(flags_.lead_to, false, &m.after_sound, &out_.lead_sound));
    out_.extend = flags_.extend;
    out_.lead_to = flags_.lead_to;
    const int64_t known =
        static_cast<int64_t>(m.before_sound.size() + m.after_sound.size()) / t_.channels;
    int64_t more = t_.asked > 0 ? t_.asked : t_.preferred;
    if (!out_.lead_to.empty()) more = (more + t_.latent - 1) / t_.latent * t_.latent;
    if (known + more > t_.longest)
      return error(Code::kInvalidArgument, "beside ", sound_seconds(known),
                   " s of known sound this model adds at most ", sound_seconds(t_.longest - known),
                   " s at once; ", sound_seconds(more), " were asked for");
    out_.samples = known + more;
    if (out_.extend.empty() || !same_file(out_.extend, out_.lead_to)) return Status();
    out_.lead_sound.clear();
    out_.notices.push_back(out_.extend + " leads to itself: the sound that comes out is a loop");
    return Status();
  }
  double sound_seconds(int64_t samples) const {
    return static_cast<double>(samples) / t_.sample_rate;
  }

  // A clip as a model of sound alone sees it, and how it is shown. The sound is as long, to a
  // sample.
  Status read_shown() {
    ReadRequest r = pictures_;
    r.max_frames = t_.asked > 0 ? frames_of(t_.asked) : t_.range.max;
    r.fps = t_.fps;
    ZT_ASSIGN_OR_RETURN(Media media, read_frames(flags_.video, r));
    take_notices(&media, &out_.notices);
    const int fps = static_cast<int>(std::clamp(std::llround(media.rate), 1LL, 1000LL));
    const int64_t there = std::llround(media.seconds * t_.sample_rate);
    if (there < 1)
      return error(Code::kInvalidArgument, "--video ", flags_.video,
                   ": a single picture has no length; expected a clip, for whose length sound is "
                   "made");
    out_.shown = {flags_.video, media.own_width, media.own_height, 0, fps};
    if (!media.more_frames && there < t_.asked)
      return error(Code::kInvalidArgument, flags_.video, " is ", media.seconds, " s long; ",
                   sound_seconds(t_.asked), " s were asked for");
    const int64_t wanted = t_.asked > 0 ? t_.asked : std::min(there, t_.longest);
    if (media.more_frames || wanted < there) {  // to whole frames
      out_.shown.frames = std::max<int64_t>(wanted * fps / t_.sample_rate, 1);
      out_.samples = samples_of_frames(out_.shown.frames, t_.sample_rate, fps);
      out_.notices.push_back(
          str(flags_.video, " is longer: its first ", sound_seconds(out_.samples), " s are used"));
    } else {
      out_.shown.frames = std::max<int64_t>(std::llround(media.seconds * fps), 1);
      out_.samples = there;
      out_.copy_picture = flags_.video;
    }
    media.frames = std::min(media.frames, frames_of(out_.samples));
    media.pixels.resize(static_cast<size_t>(media.frames * t_.width * t_.height * 3));
    out_.media.video = {std::move(media.pixels), media.frames};
    return Status();
  }
  int64_t frames_of(int64_t samples) const {
    return frames_of_samples(samples, t_.sample_rate, t_.fps);
  }

  const KnownFlags& flags_;
  const MediaTarget& t_;
  const ReadRequest& pictures_;
  KnownFiles& out_;
};

}  // namespace

Status read_for_sound(const KnownFlags& flags, const MediaTarget& target,
                      const ReadRequest& pictures, KnownFiles* files) {
  return SoundReader(flags, target, pictures, files).read();
}

}  // namespace zoetrope
