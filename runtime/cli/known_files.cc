#include "runtime/cli/known_files.h"

#include <sys/stat.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <tuple>
#include <utility>

#include "runtime/cli/command.h"

#include "runtime/cli/prompt_flags.h"
#include "runtime/engine/check.h"

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

bool same_file(const std::string& a, const std::string& b) {
  struct stat x {
  }, y{};
  return a == b || (::stat(a.c_str(), &x) == 0 && ::stat(b.c_str(), &y) == 0 &&
                    x.st_dev == y.st_dev && x.st_ino == y.st_ino);
}

// read_media, which a person may interrupt.
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

// A whole text as a number of these bounds.
bool read_number(const std::string& text, double low, double high, double* value) {
  char* end = nullptr;
  *value = std::strtod(text.c_str(), &end);
  return !text.empty() && *end == '\0' && *value >= low && *value <= high;
}

class KnownReader {
 public:
  KnownReader(const KnownFlags& flags, const MediaTarget& target) : flags_(flags), t_(target) {}

  Result<KnownFiles> read() {
    if (const KnownFlags none; !flags_.any_picture())
      for (const auto& [name, value, otherwise] :
           {std::tuple{"--fit", &flags_.fit, &none.fit},
            {"--background", &flags_.background, &none.background}})
        if (*value != *otherwise)
          return error(Code::kInvalidArgument, name, " ", *value,
                       ": it is about a given picture or clip, and there is none");
    ZT_ASSIGN_OR_RETURN(out_.fit, parse_fit(flags_.fit));
    ZT_ASSIGN_OR_RETURN(out_.background, parse_colour(flags_.background));
    out_.frames = t_.frames;
    ZT_RETURN_IF_ERROR(read_picture(flags_.image, &out_.media.first));
    ZT_RETURN_IF_ERROR(read_picture(flags_.last_image, &out_.media.last));
    for (const KeyFrameFlag& key : flags_.keyframes) ZT_RETURN_IF_ERROR(read_keyframe(key));
    if (!flags_.extend.empty() || !flags_.lead_to.empty()) ZT_RETURN_IF_ERROR(read_neighbours());
    if (!flags_.video.empty()) ZT_RETURN_IF_ERROR(read_video());
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
  void take_notices(Media* media) {
    for (std::string& notice : media->notices)
      if (std::find(out_.notices.begin(), out_.notices.end(), notice) == out_.notices.end())
        out_.notices.push_back(std::move(notice));
  }
  double seconds(int64_t frames) const { return static_cast<double>(frames) / t_.fps; }

  Status read_picture(const std::string& path, KnownFrames* to) {
    if (path.empty()) return Status();
    ZT_ASSIGN_OR_RETURN(Media media, read_frames(path, pictures(0, 1)));
    take_notices(&media);
    to->pixels = std::move(media.pixels);
    to->frames = 1;
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

  Status read_video() {
    ReadRequest r = pictures(0, t_.frames > 0 ? t_.frames : t_.range.max);
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
    media.pixels.resize(static_cast<size_t>(used * t_.width * t_.height * 3));
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
    out_.own_sound = std::move(media.samples);
    out_.own_sound.resize(
        static_cast<size_t>(out_.frames * media.sample_rate / t_.fps * media.channels));
    out_.own_rate = media.sample_rate;
    out_.own_channels = media.channels;
    out_.own_bits = media.sample_bits;
    return Status();
  }

  const KnownFlags& flags_;
  const MediaTarget& t_;
  KnownFiles out_;
};

}  // namespace

Result<KeyFrameFlag> parse_keyframe(const std::string& text) {
  const size_t equals = text.find('='), comma = text.substr(0, equals).find(',');
  KeyFrameFlag flag;
  const std::string time = text.substr(0, std::min(equals, comma));
  bool good = equals != std::string::npos && equals + 1 < text.size() &&
              read_number(time, 0, 86400, &flag.seconds);
  if (good && comma != std::string::npos)
    good = read_number(text.substr(comma + 1, equals - comma - 1), 0.001, 1, &flag.strength);
  if (!good)
    return error(Code::kInvalidArgument, "--keyframe ", text,
                 ": expected SECONDS=FILE, such as 2.5=hill.png, or SECONDS,STRENGTH=FILE with a "
                 "strength up to 1");
  flag.path = text.substr(equals + 1);
  return flag;
}

Result<KnownFiles> read_known_files(const KnownFlags& flags, const MediaTarget& target) {
  return KnownReader(flags, target).read();
}

void KnownFlags::add_to(CLI::App* app) {
  auto* first = app->add_option("--image", image, "The clip begins with this picture");
  app->add_option(
         "--strength", strength,
         "Start from --image or --video rather than keep it, and make this much of it new: 0.3 "
         "little, 1 all; models of pictures always start from it")
      ->check(number_in(0.001, 1));
  auto* last = app->add_option("--last-image", last_image, "The clip ends with this picture");
  auto* keyed =
      app->add_option_function<std::vector<std::string>>(
             "--keyframe",
             [this](const std::vector<std::string>& texts) {
               keyframes.clear();
               for (const std::string& text : texts) {
                 auto parsed = parse_keyframe(text);
                 if (!parsed.ok()) throw CLI::ValidationError(parsed.status().message());
                 keyframes.push_back(std::move(*parsed));
               }
             },
             "The clip shows this picture at a time: SECONDS=FILE, or SECONDS,STRENGTH=FILE, where "
             "less "
             "than 1 leaves the model its part; give more for more of them")
          ->expected(1)
          ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  auto* before = app->add_option("--extend", extend,
                                 "Continue this clip: it comes out whole, with its sound, and "
                                 "--seconds or --frames more behind it");
  auto* after = app->add_option("--lead-to", lead_to,
                                "Lead to this clip: it comes out whole behind what is new; the "
                                "same file as --extend makes a loop");
  auto* all = app->add_option("--video", video,
                              "All frames are known, of a clip or of pictures such as %04d.png: "
                              "make the sound. The clip is as long as this one");
  auto* heard = app->add_option("--audio", audio,
                                "All sound is known: make the picture. The sound comes out as it "
                                "is in its file, and the clip is as long");
  first->excludes(before);
  last->excludes(after);
  auto* joined = app->add_option_function<std::vector<std::string>>(
      "--join",
      [this](const std::vector<std::string>& clips) {
        extend = clips.at(0);
        lead_to = clips.at(1);
      },
      "Two clips, and what is new between them: as --extend A --lead-to B");
  joined->expected(2)->excludes(before)->excludes(after)->excludes(first)->excludes(last);
  joined->excludes(all)->excludes(heard);
  all->excludes(before)->excludes(after)->excludes(first)->excludes(last)->excludes(heard);
  heard->excludes(before)->excludes(after);
  // Times would count from somewhere within the clip that comes out.
  keyed->excludes(before)->excludes(joined)->excludes(all);
  app->add_option("--fit", fit,
                  "Given pictures of another shape: cover cuts off what stands out, contain shows "
                  "all of it over the background, stretch pulls it into shape")
      ->check(CLI::IsMember({"cover", "contain", "stretch"}))
      ->capture_default_str();
  app->add_option("--background", background,
                  "Shows through transparent parts, and around what --fit contain leaves: white, "
                  "black, gray or #RRGGBB")
      ->capture_default_str();
}

std::vector<std::string> KnownFlags::paths() const {
  std::vector<std::string> all;
  for (const std::string* path : {&image, &last_image, &extend, &lead_to, &video, &audio})
    if (!path->empty()) all.push_back(*path);
  for (const KeyFrameFlag& key : keyframes) all.push_back(key.path);
  return all;
}

bool KnownFlags::any() const { return !paths().empty(); }

bool KnownFlags::any_picture() const { return paths().size() > (audio.empty() ? 0 : 1); }

Result<MediaTarget> media_target(const Recipe& recipe, const ClipRequest& clip) {
  ZT_ASSIGN_OR_RETURN(const ClipShape shape, resolve_clip_shape(recipe, clip));
  MediaTarget t;
  t.width = shape.width;
  t.height = shape.height;
  t.frames = clip.frames > 0 || clip.seconds > 0 ? shape.frames : 0;
  t.range = recipe.clip.frames;
  t.fps = recipe.clip.fps;
  if (const LatentSpec* picture = recipe.picture()) {
    t.first_frames = picture->first_frames;
    t.later_frames = picture->later_frames;
  }
  t.sample_rate = recipe.clip.sample_rate;
  t.channels = recipe.clip.sound_channels;
  return t;
}

Status give_known(const Recipe& recipe, const KnownFlags& flags, KnownFiles* files,
                  Request* request) {
  request->known = std::move(files->media);
  files->last_as_given = count_key_frames(recipe, request->known) == 0;
  const LatentSpec* picture = recipe.picture();
  const bool pictures = picture != nullptr && picture->media == Modality::kImage;
  if (files->frames > 0 && !pictures) {
    request->clip.frames = files->frames;
    request->clip.seconds = 0;
  }
  if (flags.strength > 0 && flags.image.empty() && flags.video.empty())
    return error(Code::kInvalidArgument,
                 "--strength says how much of --image or --video is made new; give one");
  KnownFrames& from = flags.video.empty() ? request->known.first : request->known.video;
  if (from.frames == 0 || (flags.strength == 0 && !pictures)) return Status();
  request->start = std::exchange(from, {});
  files->copy_picture.clear();  // what comes out is new
  if (flags.strength > 0) request->strength = flags.strength;
  return Status();
}

}  // namespace zoetrope
