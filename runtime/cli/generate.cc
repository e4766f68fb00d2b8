#include <sys/resource.h>

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "graph/format/output_file.h"
#include "runtime/cli/clip_assembly.h"
#include "runtime/cli/generate_flags.h"
#include "runtime/cli/grid.h"
#include "runtime/cli/known_files.h"
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
  const CLI::Option* prompt_option = nullptr;
  bool json = false, quiet = false, no_metadata = false;
};

ClipTags tags_of(const Options& o, const Model& model, const RequestPlan& plan) {
  const Request& g = o.generate.request;
  const ClipShape& shape = plan.shape;
  std::vector<std::pair<std::string, std::string>> options = {
      {"width", str(shape.width)},
      {"height", str(shape.height)},
      {"frames", str(shape.frames)},
      {"steps", str(plan.denoise.steps)},
      {"guidance", str(plan.denoise.guidance)},
      {"compute", std::string(dtype_name(g.compute))}};
  if (!g.solver.empty()) options.emplace_back("solver", g.solver);
  if (!g.schedule.empty()) options.emplace_back("schedule", g.schedule);
  if (g.shift > 0) options.emplace_back("shift", str(g.shift));
  if (!g.spacing.empty()) options.emplace_back("spacing", g.spacing);
  if (g.eta >= 0) options.emplace_back("eta", str(g.eta));
  for (const std::string& file : o.generate.lora.files) options.emplace_back("lora", file);
  for (const std::string& label : g.classes) options.emplace_back("class", label);
  return make_tags(model.name, std::string("Zoetrope ") + ZOETROPE_VERSION, g.prompt, g.negative,
                   g.seed, options);
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
                const RunStats& stats) {
  nlohmann::json files = nlohmann::json::array();
  for (size_t i = 0; i < o.outputs.size(); ++i)
    files.push_back({{"path", o.outputs[i]}, {"codecs", outputs.description(i)}});
  const nlohmann::json json = {{"files", files},
                               {"width", format.width},
                               {"height", format.height},
                               {"frames", format.frames},
                               {"samples", format.samples},
                               {"seed", o.generate.request.seed},
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

// Pictures of several classes share a file, but where its name counts them.
bool as_grid(const Options& o, const RequestPlan& plan) {
  return plan.samples > 1 &&
         std::none_of(o.outputs.begin(), o.outputs.end(),
                      [](const std::string& path) { return path.find('%') != std::string::npos; });
}

std::string length_of(const ClipFormat& format, const RequestPlan& plan) {
  if (plan.shape.frames <= 1) return plan.samples > 1 ? str(plan.samples, " pictures, ") : "";
  char text[32];
  std::snprintf(text, sizeof(text), "%.2f s, ", static_cast<double>(format.frames) / format.fps);
  return text;
}

Status run_generate(Options& o) {
  ZT_RETURN_IF_ERROR(o.generate.finish());
  ZT_RETURN_IF_ERROR(check_stdout(o));
  Request& request = o.generate.request;
  bool drawn = false;
  ZT_ASSIGN_OR_RETURN(request.seed, parse_seed(o.seed, &drawn));
  ZT_ASSIGN_OR_RETURN(request.prompt, read_prompt(o.prompt));
  ZT_ASSIGN_OR_RETURN(request.negative, read_prompt(o.negative));
  ZT_ASSIGN_OR_RETURN(const auto engine, o.generate.open_engine(/*keep_sessions=*/false));
  const Model& model = engine->model();
  if (o.prompt_option->count() == 0 && model.recipe.reads_text())
    return error(Code::kInvalidArgument,
                 "say what to show, such as \"a red ball\"; \"\" leaves it to the model");
  ZT_ASSIGN_OR_RETURN(const MediaTarget target, media_target(model.recipe, request.clip));
  ZT_ASSIGN_OR_RETURN(KnownFiles known, read_known_files(o.known, target));
  ZT_RETURN_IF_ERROR(give_known(model.recipe, o.known, &known, &request));
  ZT_ASSIGN_OR_RETURN(const RequestPlan plan, engine->plan(request));
  known.frames = plan.shape.frames;

  // The plan is accepted: now the files.
  Outputs outputs;
  const bool grid = as_grid(o, plan);
  GridSink tiles(plan.samples, plan.shape.width, plan.shape.height, outputs);
  ClipAssembly assembly(known, request.known, target, outputs);
  ClipFormat format = assembly.format(plan.shape.frames);
  if (grid) {
    format.width = tiles.width();
    format.height = tiles.height();
  } else if (plan.samples > 1) {
    format.frames = plan.samples;
  }
  format.container = o.format;
  if (!o.no_metadata) format.tags = tags_of(o, model, plan);
  ZT_RETURN_IF_ERROR(check_outputs(o.outputs, format, o.known.paths()));

  ProgressBar bar(o.quiet || o.json);
  RunHooks hooks;
  hooks.progress = [&](std::string_view task, double done, double total) {
    bar.update(task, done, total);
    return !interrupted();
  };
  hooks.notice = [&](const std::string& text) {
    if (o.json) std::fprintf(stderr, "%s\n", text.c_str());
    bar.message(text);
  };
  for (const std::string& notice : known.notices) hooks.notice(notice);
  if (drawn) hooks.notice(str("seed ", request.seed));
  ZT_RETURN_IF_ERROR(outputs.open(o.outputs, format));
  // Pictures of several classes go past the assembly, which puts one clip together.
  ClipSink& pictures = grid ? static_cast<ClipSink&>(tiles) : outputs;
  ZT_ASSIGN_OR_RETURN(
      const RunStats stats,
      engine->run(request, plan.samples > 1 ? pictures : static_cast<ClipSink&>(assembly), hooks));
  if (grid) ZT_RETURN_IF_ERROR(tiles.finish());
  ZT_RETURN_IF_ERROR(assembly.finish());
  ZT_RETURN_IF_ERROR(outputs.finish());
  bar.end();
  if (o.json) {
    print_json(o, format, outputs, stats);
  } else if (!o.quiet) {
    for (size_t i = 0; i < o.outputs.size(); ++i)
      std::fprintf(stderr, "%s: %ldx%ld, %s%s\n", o.outputs[i].c_str(),
                   static_cast<long>(format.width), static_cast<long>(format.height),
                   length_of(format, plan).c_str(), outputs.description(i).c_str());
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
      "  zoetrope generate \"\" --video silent.mp4 -o sound.wav -o joined.mp4  video to sound\n"
      "  zoetrope generate --model m.zoe --class 207 --class \"tabby cat\" -o grid.png   two "
      "classes");
  options->prompt_option = app->add_option(
      "prompt", options->prompt,
      "What to show and to sound; @FILE reads it from a file, - from standard input. Models of "
      "classes take --class instead");
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
