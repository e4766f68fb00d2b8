#include <sys/resource.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "runtime/cli/generate_flags.h"
#include "runtime/cli/load_model.h"
#include "runtime/cli/progress.h"
#include "runtime/media/clip_writer.h"
#include "runtime/media/media_reader.h"

namespace zoetrope {
namespace {

struct Options {
  GenerateFlags generate;
  std::vector<std::string> outputs{"clip.mp4"};
  std::string image, last_image, extend, lead_to, video, audio;
  bool json = false, quiet = false;
};

// Writes to several files at once.
class Outputs : public ClipSink {
 public:
  Status open(const std::vector<std::string>& paths, const ClipFormat& format) {
    for (const std::string& path : paths) {
      ZT_ASSIGN_OR_RETURN(writers_.emplace_back(), create_clip_writer(path, format));
    }
    return Status();
  }
  Status frames(const uint8_t* pixels, int64_t count) override {
    for (auto& writer : writers_) ZT_RETURN_IF_ERROR(writer->frames(pixels, count));
    return Status();
  }
  Status audio(const float* samples, int64_t count) override {
    for (auto& writer : writers_) ZT_RETURN_IF_ERROR(writer->audio(samples, count));
    return Status();
  }
  Status finish() {
    for (auto& writer : writers_) ZT_RETURN_IF_ERROR(writer->finish());
    return Status();
  }
  std::string description(size_t i) const { return writers_[i]->description(); }

 private:
  std::vector<std::unique_ptr<ClipWriter>> writers_;
};

Status read_frames(const std::string& path, const ClipShape& shape, const FlatRecipe& recipe,
                   int64_t first, int64_t count, KnownFrames* out) {
  if (path.empty()) return Status();
  ReadRequest request;
  request.width = shape.width;
  request.height = shape.height;
  request.fps = count > 1 ? recipe.fps : 0;
  request.first_frame = first;
  request.max_frames = count;
  ZT_ASSIGN_OR_RETURN(Media media, read_media(path, request));
  out->pixels = std::move(media.pixels);
  out->frames = media.frames;
  return Status();
}

// Frames of a clip to continue (or to lead to): a whole number of latents, at most half of the new
// clip.
int64_t overlap_frames(const ClipShape& shape, const FlatRecipe& recipe) {
  return std::max<int64_t>(1, shape.latent_frames / 2) * recipe.frames_per_latent;
}

Status read_known(const Options& o, const ClipShape& shape, const FlatRecipe& recipe,
                  KnownMedia* known) {
  ZT_RETURN_IF_ERROR(read_frames(o.image, shape, recipe, 0, 1, &known->first));
  ZT_RETURN_IF_ERROR(read_frames(o.last_image, shape, recipe, 0, 1, &known->last));
  const int64_t overlap = overlap_frames(shape, recipe);
  ZT_RETURN_IF_ERROR(read_frames(o.extend, shape, recipe, -overlap, overlap, &known->before));
  ZT_RETURN_IF_ERROR(read_frames(o.lead_to, shape, recipe, 0, overlap, &known->after));
  ZT_RETURN_IF_ERROR(read_frames(o.video, shape, recipe, 0, shape.frames, &known->video));
  if (o.audio.empty()) return Status();
  if (shape.samples == 0) return error(Code::kInvalidArgument, "--audio: this model has no sound");
  ReadRequest request;
  request.sound = true;
  request.sample_rate = recipe.sample_rate;
  request.channels = recipe.audio_channels;
  request.max_samples = shape.samples;
  ZT_ASSIGN_OR_RETURN(Media media, read_media(o.audio, request));
  known->audio = std::move(media.samples);
  return Status();
}

int64_t peak_resident_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return int64_t{usage.ru_maxrss} * 1024;
}

void print_json(const Options& o, const ClipShape& shape, const Outputs& outputs,
                const GenerateStats& stats) {
  nlohmann::json files = nlohmann::json::array();
  for (size_t i = 0; i < o.outputs.size(); ++i)
    files.push_back({{"path", o.outputs[i]}, {"codecs", outputs.description(i)}});
  const nlohmann::json json = {{"files", files},
                               {"width", shape.width},
                               {"height", shape.height},
                               {"frames", shape.frames},
                               {"samples", shape.samples},
                               {"seed", o.generate.options.seed},
                               {"load_seconds", stats.load_seconds},
                               {"first_step_seconds", stats.first_step_seconds},
                               {"denoise_seconds", stats.denoise_seconds},
                               {"decode_seconds", stats.decode_seconds},
                               {"total_seconds", stats.total_seconds},
                               {"planned_peak_bytes", stats.planned_peak_bytes},
                               {"session_peak_bytes", stats.peak_bytes},
                               {"process_peak_bytes", peak_resident_bytes()}};
  std::printf("%s\n", json.dump(2).c_str());
}

Status run_generate(Options& o) {
  ZT_RETURN_IF_ERROR(o.generate.finish());
  GenerateOptions& options = o.generate.options;
  ZT_ASSIGN_OR_RETURN(const std::string path, find_model(o.generate.model));
  ZT_ASSIGN_OR_RETURN(const LoadedModel loaded, load_model(path));
  if (!loaded.model.incomplete.empty())
    return error(Code::kUnsupported, path, " cannot generate: ", loaded.model.incomplete);
  const FlatRecipe& recipe = loaded.model.recipe;
  ZT_ASSIGN_OR_RETURN(const ClipShape shape, resolve_clip_shape(recipe, options.clip));
  ZT_RETURN_IF_ERROR(read_known(o, shape, recipe, &options.known));
  ZT_ASSIGN_OR_RETURN(const auto device, o.generate.device.open());
  ProgressBar bar(o.quiet || o.json);
  Outputs outputs;
  ZT_RETURN_IF_ERROR(
      outputs.open(o.outputs, {shape.width, shape.height, shape.frames, recipe.fps,
                               shape.frames > 1 ? recipe.sample_rate : 0, recipe.audio_channels}));
  GenerateHooks hooks;
  hooks.progress = [&](std::string_view phase, double done, double total) {
    bar.update(phase, done, total);
    return !interrupted();
  };
  hooks.notice = [&](const std::string& text) {
    if (o.json) std::fprintf(stderr, "%s\n", text.c_str());
    bar.message(text);
  };
  ZT_ASSIGN_OR_RETURN(const GenerateStats stats,
                      generate(loaded.model, options, *device, outputs, hooks));
  ZT_RETURN_IF_ERROR(outputs.finish());
  bar.end();
  if (o.json) {
    print_json(o, shape, outputs, stats);
  } else if (!o.quiet) {
    for (size_t i = 0; i < o.outputs.size(); ++i)
      std::fprintf(stderr, "%s: %ldx%ld, %.2f s, %s\n", o.outputs[i].c_str(),
                   static_cast<long>(shape.width), static_cast<long>(shape.height),
                   shape.seconds(recipe), outputs.description(i).c_str());
    std::fprintf(stderr, "done in %s, peak memory %s\n",
                 format_seconds(stats.total_seconds).c_str(),
                 format_bytes(static_cast<double>(peak_resident_bytes())).c_str());
  }
  return Status();
}

}  // namespace

void add_generate(CLI::App* root, Run* run) {
  auto options = std::make_shared<Options>();
  CLI::App* app = root->add_subcommand("generate", "Make a clip with sound from a caption");
  app->footer(
      "Examples:\n"
      "  zoetrope generate \"a small red star bounces on a blue floor\" -o clip.mp4\n"
      "  zoetrope generate \"a green ring spins\" --seconds 4 --width 160 --height 96 -o ring.gif\n"
      "  zoetrope generate \"a big heart\" --frames 1 -o heart.png            a still image\n"
      "  zoetrope generate \"it falls\" --image heart.png -o fall.mp4          image to video\n"
      "  zoetrope generate \"\" --video silent.mp4 -o sound.wav -o joined.mp4  video to sound");
  GenerateOptions& o = options->generate.options;
  app->add_option("prompt", o.prompt, "What to show and to sound")->required();
  app->add_option(
         "-o,--output", options->outputs,
         "Where to write; may be given more than once. By extension: " + known_clip_extensions())
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->capture_default_str();
  app->add_option("--negative", o.negative, "What to steer away from");
  app->add_option("--seed", o.seed, "The same seed gives the same clip, bit for bit")
      ->capture_default_str();
  app->add_option("--image", options->image, "The clip begins with this picture");
  app->add_option("--last-image", options->last_image, "The clip ends with this picture");
  auto* extend = app->add_option("--extend", options->extend, "Continue this clip");
  auto* lead =
      app->add_option("--lead-to", options->lead_to, "End with the beginning of this clip");
  app->add_option("--video", options->video, "All frames are known: make the sound")
      ->excludes(extend)
      ->excludes(lead);
  app->add_option("--audio", options->audio, "All sound is known: make the picture");
  options->generate.add_to(app);
  app->add_flag("--json", options->json, "Print figures as JSON instead of progress");
  app->add_flag("-q,--quiet", options->quiet, "Print nothing but errors");
  app->callback([=] { *run = [=] { return run_generate(*options); }; });
}

}  // namespace zoetrope
