#include "runtime/cli/known_files.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <tuple>
#include <utility>

#include "runtime/cli/known_sound.h"
#include "runtime/engine/check.h"
#include "runtime/engine/find_stage.h"

namespace zoetrope {
namespace {

constexpr int64_t kManyFrames = 1 << 20;

Result<Rgb> parse_colour(const std::string& text) {
  if (text == "white") return Rgb{255, 255, 255};
  if (text == "black") return Rgb{0, 0, 0};
  if (text == "gray" || text == "grey") return Rgb{128, 128, 128};
  if (text.size() == 7 && text[0] == '#' &&
      text.find_first_not_of("0123456789abcdefABCDEF", 1) == std::string::npos) {
    const auto value = static_cast<uint32_t>(std::strtoul(text.c_str() + 1, nullptr, 16));
    return Rgb{static_cast<uint8_t>(value >> 16), static_cast<uint8_t>(value >> 8),
               static_cast<uint8_t>(value)};
  }
  return error(Code::kInvalidArgument, "--background ", text,
               ": expected white, black, gray or #RRGGBB");
}

// The largest length of the range that is at most `frames`; 0: all are larger.
int64_t at_most(const Range& r, int64_t frames) {
  frames = std::min(frames, r.max);
  if (frames < r.offset) return 0;
  const int64_t n = r.offset + (frames - r.offset) / r.multiple * r.multiple;
  return n >= r.min ? n : 0;
}

// The smallest one that is at least `frames`, or the largest of all.
int64_t at_least(const Range& r, int64_t frames) {
  const int64_t wanted = std::max(frames, r.min);
  const int64_t steps = std::max<int64_t>(0, (wanted - r.offset + r.multiple - 1) / r.multiple);
  return at_most(r, r.offset + steps * r.multiple);
}

class KnownReader {
 public:
  KnownReader(const KnownFlags& flags, const MediaTarget& target) : flags_(flags), t_(target) {}

  Result<KnownFiles> read() {
    if (const KnownFlags none; !flags_.any_picture())
      for (const auto& [name, value, otherwise] :
           {std::tuple{"--fit", &flags_.fit, &none.fit},
            {"--background", &flags_.background, &none.background}})
        if (*value != *otherwise || flags_.said.contains(name))
          return error(Code::kInvalidArgument, name, " ", *value,
                       ": it is about a given picture or clip, and there is none");
    ZT_ASSIGN_OR_RETURN(out_.fit, parse_fit(flags_.fit));
    ZT_ASSIGN_OR_RETURN(out_.background, parse_colour(flags_.background));
    out_.frames = t_.frames;
    ZT_RETURN_IF_ERROR(read_picture(flags_.image, &out_.media.first));
    ZT_RETURN_IF_ERROR(read_picture(flags_.last_image, &out_.media.last));
    for (const KeyFrameFlag& key : flags_.keyframes) ZT_RETURN_IF_ERROR(read_keyframe(key));
    if (t_.sound_alone) {
      ZT_RETURN_IF_ERROR(read_for_sound(flags_, t_, pictures(0, 0), &out_));
      return std::move(out_);
    }
    if (!flags_.extend.empty() || !flags_.lead_to.empty()) ZT_RETURN_IF_ERROR(read_neighbours());
    for (const std::string& path : flags_.references) ZT_RETURN_IF_ERROR(read_reference(path));
    if (!flags_.video.empty())
      ZT_RETURN_IF_ERROR(t_.source_scale > 0 ? read_source() : read_video());
    if (!flags_.audio.empty()) ZT_RETURN_IF_ERROR(read_audio());
    return std::move(out_);
  }

 private:
  ReadRequest pictures(int64_t first, int64_t count) const {
    ReadRequest r;
    r.width = t_.width;
    r.height = t_.height;
    r.fit = out_.fit;
    r.background = out_.background;
    r.first_frame = first;
    r.max_frames = count;
    return r;
  }
  void take_notices(Media* media) { zoetrope::take_notices(media, &out_.notices); }
  double seconds(int64_t frames) const { return static_cast<double>(frames) / t_.fps; }

  Status read_picture(const std::string& path, KnownFrames* to) {
    if (path.empty()) return Status();
    ZT_ASSIGN_OR_RETURN(Media media, read_frames(path, pictures(0, 1)));
    take_notices(&media);
    to->pixels = std::move(media.pixels);
    to->frames = 1;
    return Status();
  }

  // At its own size.
  Status read_reference(const std::string& path) {
    ReadRequest r = pictures(0, 1);
    r.width = r.height = 0;
    ZT_ASSIGN_OR_RETURN(Media media, read_frames(path, r));
    take_notices(&media);
    out_.media.references.push_back({std::move(media.pixels), media.width, media.height});
    return Status();
  }

  // The frame that is shown then; the first is no other than --image.
  Status read_keyframe(const KeyFrameFlag& flag) {
    KnownMedia& m = out_.media;
    const int64_t frame = std::llround(flag.seconds * t_.fps);
    if (frame == 0 && m.first.frames + static_cast<int64_t>(!flags_.extend.empty()) > 0)
      return error(Code::kInvalidArgument, "--keyframe ", flag.seconds, "=", flag.path,
                   ": the first frame is given already");
    for (const KeyFrame& other : m.keys)
      if (other.frame == frame)
        return error(Code::kInvalidArgument, "--keyframe ", flag.seconds, "=", flag.path,
                     ": another one stands at the same frame, ", frame);
    KnownFrames picture;
    ZT_RETURN_IF_ERROR(read_picture(flag.path, &picture));
    if (frame == 0) {
      m.first = std::move(picture);
      m.first_strength = flag.strength;
    } else {
      m.keys.push_back({std::move(picture.pixels), frame, flag.strength});
    }
    return Status();
  }

  // Frames of whole latents: at most half of what the model prefers to make, at most a quarter on
  // each side of a gap.
  int64_t overlap(int64_t available) const {
    const bool gap = !flags_.extend.empty() && !flags_.lead_to.empty();
    const int64_t preferred =
        1 + std::max<int64_t>(0, t_.range.preferred - t_.first_frames) / t_.later_frames;
    const int64_t most = std::max<int64_t>(1, preferred / (gap ? 4 : 2));
    if (available < t_.first_frames) return 1;
    const int64_t whole = 1 + (available - t_.first_frames) / t_.later_frames;
    return t_.first_frames + (std::min(most, whole) - 1) * t_.later_frames;
  }

  // Sound of the first `frames` of a clip, silence where it has less; false: it has none.
  Result<bool> read_clip_sound(const std::string& path, int64_t frames, std::vector<float>* to) {
    if (t_.sample_rate == 0) return false;
    ReadRequest r;
    r.sound = true;
    r.sample_rate = t_.sample_rate;
    r.channels = t_.channels;
    r.max_samples = t_.samples(frames);
    ZT_RETURN_IF_ERROR(check_sound_length(path, t_, r.max_samples));
    auto media = read_media(path, r);
    const bool found = media.ok();
    if (!found && media.status().code() != Code::kNotFound) return media.status();
    if (found) {
      take_notices(&*media);
      *to = std::move(media->samples);
    } else {
      out_.notices.push_back(path + " has no sound; its part of the clip stays silent");
    }
    to->resize(static_cast<size_t>(r.max_samples * t_.channels));
    return found;
  }

  // A clip at one end: counts its frames and keeps the last (first) of them for the model.
  Status read_neighbour(const std::string& path, bool at_begin, KnownFrames* known,
                        std::vector<float>* known_sound, int64_t* all, std::vector<float>* sound) {
    const int64_t most = overlap(kManyFrames);
    ReadRequest r = pictures(at_begin ? -most : 0, at_begin ? most : kManyFrames);
    r.fps = t_.fps;
    const auto frame = static_cast<size_t>(t_.width * t_.height * 3);
    auto media = read_frames(path, r, [&](std::span<const uint8_t> rgb) -> Result<bool> {
      if (known->pixels.size() < static_cast<size_t>(most) * frame)
        known->pixels.insert(known->pixels.end(), rgb.begin(), rgb.end());
      return true;
    });
    if (!media.ok()) return media.status();
    take_notices(&*media);
    *all = media->all_frames;
    known->frames = overlap(*all);
    const size_t bytes = static_cast<size_t>(known->frames) * frame;
    if (at_begin)
      known->pixels.erase(known->pixels.begin(),
                          known->pixels.end() - static_cast<std::ptrdiff_t>(bytes));
    else
      known->pixels.resize(bytes);
    ZT_ASSIGN_OR_RETURN(const bool heard, read_clip_sound(path, *all, sound));
    if (!heard) return Status();
    const auto values = static_cast<std::ptrdiff_t>(std::min<int64_t>(
        t_.samples(known->frames) * t_.channels, static_cast<int64_t>(sound->size())));
    if (at_begin)
      known_sound->assign(sound->end() - values, sound->end());
    else
      known_sound->assign(sound->begin(), sound->begin() + values);
    return Status();
  }

  Status read_neighbours() {
    KnownMedia& m = out_.media;
    if (!flags_.extend.empty())
      ZT_RETURN_IF_ERROR(read_neighbour(flags_.extend, true, &m.before, &m.before_sound,
                                        &out_.extend_frames, &out_.extend_sound));
    if (!flags_.lead_to.empty())
      ZT_RETURN_IF_ERROR(read_neighbour(flags_.lead_to, false, &m.after, &m.after_sound,
                                        &out_.lead_frames, &out_.lead_sound));
    out_.extend = flags_.extend;
    out_.lead_to = flags_.lead_to;
    const int64_t known = m.before.frames + m.after.frames;
    const int64_t longest = at_most(t_.range, t_.range.max);
    if (known + t_.frames > longest || known >= longest)
      return error(Code::kInvalidArgument, "--frames ", t_.frames, ": beside the ", known,
                   " known frames this model adds at most ", longest - known, " (",
                   seconds(longest - known), " s) at once");
    const int64_t wanted =
        t_.frames > 0 ? t_.frames : std::max<int64_t>(1, t_.range.preferred - known);
    out_.frames = at_least(t_.range, known + wanted);
    if (out_.extend.empty() || !same_file(out_.extend, out_.lead_to)) return Status();
    out_.lead_frames = 0;
    out_.lead_sound.clear();
    out_.notices.push_back(out_.extend + " leads to itself: the clip that comes out is a loop");
    return Status();
  }

  // A clip that is made anew: its sound stays.
  Status read_source() {
    ZT_RETURN_IF_ERROR(read_video(t_.source_scale));
    out_.media.source = std::exchange(out_.media.video, {});
    const bool whole = !std::exchange(out_.copy_picture, "").empty();
    if (t_.source_rate > 0 && std::abs(t_.source_rate - t_.fps) > 1e-4 * t_.fps)
      out_.notices.push_back(str(flags_.video, " has ", t_.source_rate,
                                 " frames a second; what comes out has ", t_.fps,
                                 ", a whole number, and is as long"));
    ReadRequest r;
    r.sound = true;
    r.max_seconds = seconds(out_.frames);
    auto sound = read_media(flags_.video, r);
    if (!sound.ok()) return sound.status().code() == Code::kNotFound ? Status() : sound.status();
    take_notices(&*sound);
    take_own_sound(std::move(*sound));
    if (whole) out_.copy_sound = flags_.video;
    return Status();
  }

  void take_own_sound(Media media) {
    out_.own_sound = std::move(media.samples);
    out_.own_sound.resize(static_cast<size_t>(
        samples_of_frames(out_.frames, media.sample_rate, t_.fps) * media.channels));
    out_.own_rate = media.sample_rate;
    out_.own_channels = media.channels;
    out_.own_bits = media.sample_bits;
  }

  // At the clip's size, or so many times smaller.
  Status read_video(int smaller = 1) {
    ReadRequest r = pictures(0, t_.frames > 0 ? t_.frames : t_.range.max);
    r.width /= smaller;
    r.height /= smaller;
    r.fps = t_.fps;
    ZT_ASSIGN_OR_RETURN(Media media, read_frames(flags_.video, r));
    take_notices(&media);
    const int64_t there = media.frames;
    const int64_t used = t_.frames > 0 ? t_.frames : at_most(t_.range, there);
    if (used == 0 || there < used)
      return error(Code::kInvalidArgument, flags_.video, " has ", there, " frames at ", t_.fps,
                   " fps; ",
                   used == 0 ? str("this model makes ", t_.range.min, " to ", t_.range.max)
                             : str(used, " were asked for (--frames ", at_most(t_.range, there),
                                   " takes all of them)"));
    if (media.more_frames || used < there)
      out_.notices.push_back(str(flags_.video, " is longer: its first ", used, " frames (",
                                 seconds(used), " s) are used"));
    else
      out_.copy_picture = flags_.video;
    media.pixels.resize(static_cast<size_t>(used * r.width * r.height * 3));
    out_.media.video = {std::move(media.pixels), used};
    out_.frames = used;
    return Status();
  }

  Status read_audio() {
    if (t_.sample_rate == 0)
      return error(Code::kInvalidArgument, "--audio: this model has no sound");
    const double longest = seconds(t_.frames > 0 ? t_.frames : at_most(t_.range, t_.range.max));
    ReadRequest own;
    own.sound = true;
    own.max_seconds = longest;
    ZT_ASSIGN_OR_RETURN(Media media, read_media(flags_.audio, own));
    take_notices(&media);
    const auto count = static_cast<double>(media.samples.size()) / media.channels;
    const double length = count / media.sample_rate;
    if (t_.frames == 0)  // a quarter of a frame is what encoders add
      out_.frames = at_least(t_.range, static_cast<int64_t>(std::ceil(length * t_.fps - 0.25)));
    const double clip = seconds(out_.frames);
    const bool cut = media.more_samples || length > clip + 0.25 / t_.fps;
    if (cut)
      out_.notices.push_back(str(flags_.audio, " is longer: its first ", clip, " s are used"));
    else if (length < clip - 1.0 / t_.fps)
      out_.notices.push_back(
          str(flags_.audio, " ends after ", length, " s; the rest of the ", clip, " s is silent"));
    else
      out_.copy_sound = flags_.audio;
    ReadRequest known = own;
    known.sample_rate = t_.sample_rate;
    known.channels = t_.channels;
    known.max_seconds = 0;
    known.max_samples = t_.samples(out_.frames);
    ZT_ASSIGN_OR_RETURN(Media at_rate, read_media(flags_.audio, known));
    out_.media.audio = std::move(at_rate.samples);
    out_.media.audio.resize(static_cast<size_t>(known.max_samples * t_.channels));
    take_own_sound(std::move(media));
    return Status();
  }

  const KnownFlags& flags_;
  const MediaTarget& t_;
  KnownFiles out_;
};

}  // namespace

Result<KnownFiles> read_known_files(const KnownFlags& flags, const MediaTarget& target) {
  return KnownReader(flags, target).read();
}

namespace {

Status follow_source(const Recipe& recipe, const KnownFlags& flags, ClipRequest* clip,
                     double* rate) {
  const auto* source = find_stage<SourceClip>(recipe);
  if (source == nullptr || flags.video.empty()) return Status();
  ReadRequest first;
  first.max_frames = 1;
  ZT_ASSIGN_OR_RETURN(const Media media, read_media(flags.video, first));
  const auto most = [](const Range& range, int64_t side) {
    return static_cast<double>(range.max) / static_cast<double>(side);
  };
  const double by =
      std::min({static_cast<double>(source->scale), most(recipe.clip.width, media.width),
                most(recipe.clip.height, media.height)});
  const auto scaled = [&](const Range& range, int64_t side) {
    return nearest_in_range(range, std::llround(by * static_cast<double>(side)));
  };
  if (clip->width == 0) clip->width = scaled(recipe.clip.width, media.width);
  if (clip->height == 0) clip->height = scaled(recipe.clip.height, media.height);
  *rate = media.stated_rate;
  if (*rate > 0) clip->fps = static_cast<int>(std::lround(std::clamp(*rate, 1.0, 1000.0)));
  return Status();
}

}  // namespace

Result<MediaTarget> media_target(const Recipe& recipe, const KnownFlags& flags, ClipRequest* clip) {
  MediaTarget t;
  ZT_RETURN_IF_ERROR(follow_source(recipe, flags, clip, &t.source_rate));
  ZT_ASSIGN_OR_RETURN(const ClipShape shape, resolve_clip_shape(recipe, *clip));
  t.width = shape.width;
  t.height = shape.height;
  t.frames = clip->frames > 0 || clip->seconds > 0 ? shape.frames : 0;
  ZT_ASSIGN_OR_RETURN(t.range, frames_range(recipe, *clip));
  t.fps = fps_of(recipe, *clip);
  if (const auto* source = find_stage<SourceClip>(recipe)) t.source_scale = source->scale;
  if (const LatentSpec* picture = recipe.picture()) {
    t.first_frames = picture->first_frames;
    t.later_frames = picture->later_frames;
  }
  t.sample_rate = recipe.clip.sample_rate;
  t.channels = recipe.clip.sound_channels;
  if (!recipe.sound_alone()) return t;
  if (clip->width > 0 || clip->height > 0)
    return error(Code::kInvalidArgument,
                 "--width, --height: this model makes sound alone, which has none");
  t.sound_alone = true;
  t.latent = recipe.sound()->samples;
  t.asked = clip->frames > 0 || clip->seconds > 0 || clip->samples > 0 ? shape.samples : 0;
  t.preferred = t.samples(t.range.preferred);
  t.longest = t.samples(t.range.max);
  const Denoise* const denoise = recipe.denoise();
  const int64_t whole = denoise != nullptr && denoise->windows.length > 0 ? denoise->windows.length
                                                                          : t.preferred / t.latent;
  t.most_known = std::max<int64_t>(whole / 2, 1) * t.latent;
  return t;
}

Status give_known(const Recipe& recipe, const KnownFlags& flags, KnownFiles* files,
                  Request* request) {
  request->known = std::move(files->media);
  files->first_as_given = count_end_pictures(recipe, request->known) == 0;
  files->last_as_given = files->first_as_given && count_key_frames(recipe, request->known) == 0;
  files->loop = request->clip.loop;
  const LatentSpec* picture = recipe.picture();
  const bool pictures = picture != nullptr && picture->media == Modality::kImage;
  if (files->samples > 0) {
    request->clip = {};
    request->clip.samples = files->samples;
  } else if (files->frames > 0 && !pictures && !recipe.sound_alone()) {
    request->clip.frames = files->frames;
    request->clip.seconds = 0;
  }
  if (flags.strength > 0 && flags.image.empty() && flags.video.empty())
    return error(Code::kInvalidArgument,
                 "--strength says how much of --image or --video is made new; give one");
  if (flags.strength > 0 && request->known.source.frames > 0)
    return error(Code::kInvalidArgument, "--strength ", flags.strength,
                 ": this model makes all of the clip anew, as its words say");
  KnownFrames& from = flags.video.empty() ? request->known.first : request->known.video;
  if (from.frames == 0 || (flags.strength == 0 && !pictures)) return Status();
  request->start = std::exchange(from, {});
  files->copy_picture.clear();  // what comes out is new
  if (flags.strength > 0) request->strength = flags.strength;
  return Status();
}

}  // namespace zoetrope
