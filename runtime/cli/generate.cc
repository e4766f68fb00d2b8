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
  std::string prompt, prompts, negative, seed = "0", format;
  int64_t count = 1;
  KnownFlags known;
  CLI::Option* prompt_option = nullptr;
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
  for (const double guidance : g.expert_guidance)
    options.emplace_back("expert_guidance", str(guidance));
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

// One clip of a run.
struct Clip {
  std::string prompt;
  uint64_t seed = 0;
  std::vector<std::string> outputs;
};

// Every prompt, `count` times each, with seeds that follow each other.
Result<std::vector<Clip>> clips_of(const Options& o, uint64_t seed) {
  std::vector<std::string> prompts;
  if (o.prompts.empty()) {
    ZT_ASSIGN_OR_RETURN(prompts.emplace_back(), read_prompt(o.prompt));
  } else {
    ZT_ASSIGN_OR_RETURN(prompts, read_prompts(o.prompts));
  }
  std::vector<Clip> clips;
  for (const std::string& prompt : prompts)
    for (int64_t i = 0; i < o.count; ++i)
      clips.push_back({prompt, seed + static_cast<uint64_t>(i), o.outputs});
  return clips;
}

nlohmann::json to_json(const Clip& clip, const ClipFormat& format, const Outputs& outputs,
                       const RunStats& stats) {
  nlohmann::json files = nlohmann::json::array();
  for (size_t i = 0; i < clip.outputs.size(); ++i)
    files.push_back({{"path", clip.outputs[i]}, {"codecs", outputs.description(i)}});
  return {{"files", files},
          {"width", format.width},
          {"height", format.height},
          {"frames", format.frames},
          {"samples", format.samples},
          {"seed", clip.seed},
          {"load_seconds", stats.load_seconds},
          {"first_step_seconds", stats.first_step_seconds},
          {"denoise_seconds", stats.denoise_seconds},
          {"decode_seconds", stats.decode_seconds},
          {"total_seconds", stats.total_seconds},
          {"planned_peak_bytes", stats.planned_peak_bytes},
          {"session_peak_bytes", stats.peak_bytes},
          {"process_peak_bytes", peak_resident_bytes()}};
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

class Generation {
 public:
  Generation(Options& o, Engine& engine)
      : o_(o), engine_(engine), request_(o.generate.request), bar_(o.quiet || o.json) {
    hooks_.progress = [this](std::string_view task, double done, double total) {
      bar_.update(task, done, total);
      return !interrupted();
    };
    hooks_.notice = [this](const std::string& text) {
      if (o_.json) std::fprintf(stderr, "%s\n", text.c_str());
      bar_.message(text);
    };
  }

  Status run(std::vector<Clip> clips, bool seed_drawn) {
    const Recipe& recipe = engine_.model().recipe;
    ZT_ASSIGN_OR_RETURN(target_, media_target(recipe, request_.clip));
    ZT_ASSIGN_OR_RETURN(known_, read_known_files(o_.known, target_));
    ZT_RETURN_IF_ERROR(give_known(recipe, o_.known, &known_, &request_));
    ZT_RETURN_IF_ERROR(prepare(&clips));
    for (const std::string& notice : known_.notices) hooks_.notice(notice);
    nlohmann::json all = nlohmann::json::array();
    for (const Clip& clip : clips) {
      if (clips.size() > 1)
        hooks_.notice(str(clip.outputs[0], ": seed ", clip.seed));
      else if (seed_drawn)
        hooks_.notice(str("seed ", clip.seed));
      ZT_ASSIGN_OR_RETURN(nlohmann::json made, make(clip));
      all.push_back(std::move(made));
    }
    if (!o_.json) return Status();
    // Paths are bytes; what is not UTF-8 in them is shown as U+FFFD.
    const nlohmann::json& answer = clips.size() == 1 ? all[0] : all;
    std::printf("%s\n",
                answer.dump(2, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
    return Status();
  }

 private:
  Result<RequestPlan> plan(const Clip& clip) {
    request_.prompt = clip.prompt;
    request_.seed = clip.seed;
    ZT_ASSIGN_OR_RETURN(RequestPlan plan, engine_.plan(request_));
    known_.frames = plan.shape.frames;
    return plan;
  }

  ClipFormat format_of(const RequestPlan& plan, const ClipAssembly& assembly,
                       const GridSink& tiles) const {
    ClipFormat format = assembly.format(plan.shape.frames);
    if (as_grid(o_, plan)) {
      format.width = tiles.width();
      format.height = tiles.height();
    } else if (plan.samples > 1) {
      format.frames = plan.samples;
    }
    format.container = o_.format;
    if (!o_.no_metadata) format.tags = tags_of(o_, engine_.model(), plan);
    return format;
  }

  // Plans every clip and looks at all files, before anything is computed.
  Status prepare(std::vector<Clip>* clips) {
    std::vector<std::string> paths;
    ClipFormat format;
    for (size_t i = 0; i < clips->size(); ++i) {
      Clip& clip = (*clips)[i];
      ZT_ASSIGN_OR_RETURN(const RequestPlan planned, plan(clip));
      Outputs none;
      format =
          format_of(planned, ClipAssembly(known_, request_.known, target_, none),
                    GridSink(planned.samples, planned.shape.width, planned.shape.height, none));
      for (std::string& path : clip.outputs) {
        if (clips->size() == 1) break;
        ZT_ASSIGN_OR_RETURN(path, numbered_path(path, format, i + 1, clips->size()));
      }
      paths.insert(paths.end(), clip.outputs.begin(), clip.outputs.end());
    }
    return check_outputs(paths, format, o_.known.paths());
  }

  // The files are opened once the plan is accepted.
  Result<nlohmann::json> make(const Clip& clip) {
    ZT_ASSIGN_OR_RETURN(const RequestPlan planned, plan(clip));
    Outputs outputs;
    ClipAssembly assembly(known_, request_.known, target_, outputs);
    GridSink tiles(planned.samples, planned.shape.width, planned.shape.height, outputs);
    const bool grid = as_grid(o_, planned);
    const ClipFormat format = format_of(planned, assembly, tiles);
    ZT_RETURN_IF_ERROR(outputs.open(clip.outputs, format));
    // Pictures of several classes go past the assembly, which puts one clip together.
    ClipSink* sink = planned.samples == 1 ? static_cast<ClipSink*>(&assembly)
                     : grid               ? static_cast<ClipSink*>(&tiles)
                                          : &outputs;
    ZT_ASSIGN_OR_RETURN(const RunStats stats, engine_.run(request_, *sink, hooks_));
    if (grid) ZT_RETURN_IF_ERROR(tiles.finish());
    ZT_RETURN_IF_ERROR(assembly.finish());
    ZT_RETURN_IF_ERROR(outputs.finish());
    bar_.end();
    if (!o_.json && !o_.quiet) {
      for (size_t i = 0; i < clip.outputs.size(); ++i)
        std::fprintf(stderr, "%s: %ldx%ld, %s%s\n", clip.outputs[i].c_str(),
                     static_cast<long>(format.width), static_cast<long>(format.height),
                     length_of(format, planned).c_str(), outputs.description(i).c_str());
      std::fprintf(stderr, "done in %s, peak memory %s\n",
                   format_seconds(stats.total_seconds).c_str(),
                   format_bytes(static_cast<double>(peak_resident_bytes())).c_str());
    }
    return to_json(clip, format, outputs, stats);
  }

  Options& o_;
  Engine& engine_;
  Request& request_;
  ProgressBar bar_;
  RunHooks hooks_;
  MediaTarget target_;
  KnownFiles known_;
};

Status run_generate(Options& o) {
  ZT_RETURN_IF_ERROR(o.generate.finish());
  ZT_RETURN_IF_ERROR(check_stdout(o));
  bool drawn = false;
  ZT_ASSIGN_OR_RETURN(const uint64_t seed, parse_seed(o.seed, &drawn));
  ZT_ASSIGN_OR_RETURN(o.generate.request.negative, read_prompt(o.negative));
  ZT_ASSIGN_OR_RETURN(std::vector<Clip> clips, clips_of(o, seed));
  ZT_ASSIGN_OR_RETURN(const auto engine,
                      o.generate.open_engine(/*keep_sessions=*/clips.size() > 1));
  if (o.prompt_option->count() == 0 && o.prompts.empty() && engine->model().recipe.reads_text())
    return error(Code::kInvalidArgument,
                 "say what to show, such as \"a red ball\"; \"\" leaves it to the model");
  return Generation(o, *engine).run(std::move(clips), drawn);
}

}  // namespace

void add_generate(CLI::App* root, Run* run) {
  auto options = std::make_shared<Options>();
  CLI::App* app = root->add_subcommand("generate", "Make a clip with sound from a caption");
  app->footer(
      "`zoetrope inspect` lists the words that the model knows.\n\n"
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
  app->add_option("--count", options->count,
                  "So many clips in one run, with seeds that follow each other. Names get -1, -2, "
                  "... or have a %d for the number")
      ->check(CLI::Range(1, 10000))
      ->capture_default_str();
  app->add_option(
         "--prompts", options->prompts,
         "A clip for each line of this file, or of standard input (-), instead of a prompt")
      ->excludes(options->prompt_option);
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
