#include "runtime/cli/known_flags.h"

#include <algorithm>
#include <cstdlib>

#include "runtime/cli/prompt_flags.h"

namespace zoetrope {
namespace {

// A whole text as a number of these bounds.
bool read_number(const std::string& text, double low, double high, double* value) {
  char* end = nullptr;
  *value = std::strtod(text.c_str(), &end);
  return !text.empty() && *end == '\0' && *value >= low && *value <= high;
}

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

void KnownFlags::add_to(CLI::App* app) {
  auto* first = app->add_option("--image", image,
                                "The clip begins with this picture; models that see it beside the "
                                "clip make frames of their own there, that follow it");
  app->add_option(
         "--strength", strength,
         "Start from --image or --video rather than keep it, and make this much of it new: 0.3 "
         "little, 1 all; models of pictures always start from it")
      ->check(number_in(0.001, 1));
  auto* last = app->add_option("--last-image", last_image,
                               "The clip ends with this picture, as --image begins it");
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
                                 "Continue this clip, or sound with a model of sound: it comes out "
                                 "whole, and --seconds or --frames more behind it");
  auto* after = app->add_option("--lead-to", lead_to,
                                "Lead to this clip: it comes out whole behind what is new; the "
                                "same file as --extend makes a loop");
  auto* all =
      app->add_option("--video", video,
                      "All frames are known, of a clip or of pictures such as %04d.png: "
                      "make the sound. The clip is as long as this one, to a sample where the "
                      "model makes sound alone. Of models that make a clip anew, editors and "
                      "upsamplers: this one; its sound stays");
  app->add_option(
         "--reference", references,
         "The clip shows again who or what is on this picture; give more for more of them, "
         "as far as the model takes them")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
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
      ->capture_default_str()
      ->each([this](const std::string&) { said.insert("--fit"); });
  app->add_option("--background", background,
                  "Shows through transparent parts, and around what --fit contain leaves: white, "
                  "black, gray or #RRGGBB")
      ->capture_default_str()
      ->each([this](const std::string&) { said.insert("--background"); });
}

std::vector<std::string> KnownFlags::paths() const {
  std::vector<std::string> all;
  for (const std::string* path : {&image, &last_image, &extend, &lead_to, &video, &audio})
    if (!path->empty()) all.push_back(*path);
  for (const KeyFrameFlag& key : keyframes) all.push_back(key.path);
  all.insert(all.end(), references.begin(), references.end());
  return all;
}

bool KnownFlags::any() const { return !paths().empty(); }

bool KnownFlags::any_picture() const { return paths().size() > (audio.empty() ? 0 : 1); }

}  // namespace zoetrope
