#include <sys/resource.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "graph/format/output_file.h"
#include "runtime/cli/clip_assembly.h"
#include "runtime/cli/generate_flags.h"
#include "runtime/cli/known_files.h"
#include "runtime/cli/load_model.h"
#include "runtime/cli/outputs.h"
#include "runtime/cli/progress.h"
#include "runtime/cli/prompt_flags.h"

namespace zoetrope {
namespace {

struct Options {
  GenerateFlags generate;
  std::vector<std::string> outputs{"clip.mp4"};
  std::string prompt, negative, seed = "0", format;
  KnownFlags known;
  bool json = false, quiet = false, no_metadata = false;
};

MediaTarget media_target(const FlatRecipe& recipe, const ClipShape& shape, bool length_asked) {
  MediaTarget t;
  t.width = shape.width;
  t.height = shape.height;
  t.frames = length_asked ? shape.frames : 0;
  t.range = recipe.frames;
  t.fps = recipe.fps;
  t.first_frames = t.later_frames = recipe.frames_per_latent;
  t.sample_rate = recipe.sample_rate;
  t.channels = recipe.audio_channels;
  return t;
}

ClipTags tags_of(const Options& o, const LoadedModel& loaded, const ClipShape& shape) {
  const GenerateOptions& g = o.generate.options;
  const FlatRecipe& recipe = loaded.model.recipe;
  std::vector<std::pair<std::string, std::string>> options = {
      {"width", str(shape.width)},
      {"height", str(shape.height)},
      {"frames", str(shape.frames)},
      {"steps", str(g.steps > 0 ? g.steps : recipe.steps)},
      {"guidance", str(g.guidance >= 0 ? g.guidance : recipe.guidance)},
      {"compute", std::string(dtype_name(g.compute))}};
  if (!g.solver.empty()) options.emplace_back("solver", g.solver);
  if (!g.schedule.empty()) options.emplace_back("schedule", g.schedule);
  if (g.shift > 0) options.emplace_back("shift", str(g.shift));
  return make_tags(loaded.file->info().name, std::string("Zoetrope ") + ZOETROPE_VERSION, g.prompt,
                   g.negative, g.seed, options);
}

// Standard output is one thing at a time.
Status check_stdout(const Options& o) {
  for (const std::string& path : o.outputs)
    if (const auto target = resolve_output(path); target.ok() && target->descriptor == 1 && o.json)
      return error(Code::kInvalidArgument, "-o ", path,
                   " and --json both write to standard output; give one of them a file");
  return Status();
}

int64_t peak_resident_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return int64_t{usage.ru_maxrss} * 1024;
}

void print_json(const Options& o, const ClipFormat& format, const Outputs& outputs,
                const GenerateStats& stats) {
  nlohmann::json files = nlohmann::json::array();
  for (size_t i = 0; i < o.outputs.size(); ++i)
    files.push_back({{"path", o.outputs[i]}, {"codecs", outputs.description(i)}});
  const nlohmann::json json = {{"files", files},
                               {"width", format.width},
                               {"height", format.height},
                               {"frames", format.frames},
                               {"samples", format.samples},
                               {"seed", o.generate.options.seed},
                               {"load_seconds", stats.load_seconds},
                               {"first_step_seconds", stats.first_step_seconds},
                               {"denoise_seconds", stats.denoise_seconds},
                               {"decode_seconds", stats.decode_seconds},
                               {"total_seconds", stats.total_seconds},
                               {"planned_peak_bytes", stats.planned_peak_bytes},
                               {"session_peak_bytes", stats.peak_bytes},
                               {"process_peak_bytes", peak_resident_bytes()}};
  // Paths are bytes; what is not UTF-8 in them is shown as U+FFFD.
  std::printf("%s\n", json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
}

Status run_generate(Options& o) {
  ZT_RETURN_IF_ERROR(o.generate.finish());
  ZT_RETURN_IF_ERROR(check_stdout(o));
  GenerateOptions& options = o.generate.options;
  bool drawn = false;
  ZT_ASSIGN_OR_RETURN(options.seed, parse_seed(o.seed, &drawn));
  ZT_ASSIGN_OR_RETURN(options.prompt, read_prompt(o.prompt));
  ZT_ASSIGN_OR_RETURN(options.negative, read_prompt(o.negative));
  ZT_ASSIGN_OR_RETURN(const std::string path, find_model(o.generate.model));
  ZT_ASSIGN_OR_RETURN(const LoadedModel loaded, load_model(path));
  if (!loaded.model.incomplete.empty())
    return error(Code::kUnsupported, path, " cannot generate: ", loaded.model.incomplete);
  const FlatRecipe& recipe = loaded.model.recipe;
  ZT_ASSIGN_OR_RETURN(ClipShape shape, resolve_clip_shape(recipe, options.clip));
  const MediaTarget target =
      media_target(recipe, shape, options.clip.frames > 0 || options.clip.seconds > 0);
  ZT_ASSIGN_OR_RETURN(KnownFiles known, read_known_files(o.known, target));
  options.known = std::move(known.media);
  if (known.frames > 0) {
    options.clip.frames = known.frames;
    options.clip.seconds = 0;
    ZT_ASSIGN_OR_RETURN(shape, resolve_clip_shape(recipe, options.clip));
  }
  known.frames = shape.frames;
  Outputs outputs;
  ClipAssembly assembly(known, options.known, target, outputs);
  ClipFormat format = assembly.format(shape.frames);
  format.container = o.format;
  if (!o.no_metadata) format.tags = tags_of(o, loaded, shape);
  ZT_RETURN_IF_ERROR(check_outputs(o.outputs, format, o.known.paths()));

  ZT_ASSIGN_OR_RETURN(const auto device, o.generate.device.open());
  ProgressBar bar(o.quiet || o.json);
  GenerateHooks hooks;
  hooks.progress = [&](std::string_view phase, double done, double total) {
    bar.update(phase, done, total);
    return !interrupted();
  };
  hooks.notice = [&](const std::string& text) {
    if (o.json) std::fprintf(stderr, "%s\n", text.c_str());
    bar.message(text);
  };
  for (const std::string& notice : known.notices) hooks.notice(notice);
  if (drawn) hooks.notice(str("seed ", options.seed));
  ZT_RETURN_IF_ERROR(outputs.open(o.outputs, format));
  ZT_ASSIGN_OR_RETURN(const GenerateStats stats,
                      generate(loaded.model, options, *device, assembly, hooks));
  ZT_RETURN_IF_ERROR(assembly.finish());
  ZT_RETURN_IF_ERROR(outputs.finish());
  bar.end();
  if (o.json) {
    print_json(o, format, outputs, stats);
  } else if (!o.quiet) {
    for (size_t i = 0; i < o.outputs.size(); ++i)
      std::fprintf(stderr, "%s: %ldx%ld, %.2f s, %s\n", o.outputs[i].c_str(),
                   static_cast<long>(format.width), static_cast<long>(format.height),
                   static_cast<double>(format.frames) / format.fps, outputs.description(i).c_str());
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
      "  zoetrope generate \"it rolls away\" --extend clip.mp4 -o longer.mp4   more behind a clip\n"
      "  zoetrope generate \"\" --video silent.mp4 -o sound.wav -o joined.mp4  video to sound");
  app->add_option("prompt", options->prompt,
                  "What to show and to sound; @FILE reads it from a file, - from standard input")
      ->required();
  app->add_option(
         "-o,--output", options->outputs,
         "Where to write; may be given more than once. By extension: " + known_clip_extensions() +
             "; - is standard output, Y4M unless --format says "
             "otherwise")
      ->expected(1)
      ->allow_extra_args(false)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->capture_default_str();
  app->add_option("--format", options->format,
                  "The format of outputs, whatever their names: mp4, webm, mkv, mov, gif, y4m, "
                  "png, wav")
      ->check(CLI::IsMember({"mp4", "webm", "mkv", "mov", "gif", "y4m", "png", "wav"}));
  app->add_flag("--no-metadata", options->no_metadata,
                "Leave prompt, seed, model and options out of the files");
  app->add_option("--negative", options->negative, "What to steer away from");
  app->add_option("--seed", options->seed,
                  "The same seed gives the same clip, bit for bit; -1 or random draws one and says "
                  "which")
      ->capture_default_str();
  options->known.add_to(app);
  options->generate.add_to(app);
  app->add_flag("--json", options->json, "Print figures as JSON instead of progress");
  app->add_flag("-q,--quiet", options->quiet, "Print nothing but errors");
  app->callback([=] { *run = [=] { return run_generate(*options); }; });
}

}  // namespace zoetrope
