#include <cstdio>
#include <map>

#include "runtime/cli/checkpoint_flags.h"
#include "runtime/cli/command.h"
#include "runtime/cli/expansion.h"
#include "runtime/cli/generation.h"
#include "runtime/cli/prompt_flags.h"
#include "runtime/media/loudness.h"

namespace zoetrope {
namespace {

struct Options {
  GenerationOptions run;
  std::string prompt, prompts, negative, seed = "0";
  int64_t count = 1;
  bool expand = false;
  CheckpointFlags checkpoint;
  CLI::Option *prompt_option = nullptr, *output_option = nullptr;
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
      clips.push_back({prompt, seed + static_cast<uint64_t>(i)});
  return clips;
}

// A language model is asked for each prompt once, whatever the clips of it; a pattern is filled by
// each clip's own seed.
Status expand_prompts(const Recipe& recipe, const Options& o, std::vector<Clip>* clips) {
  if (!o.expand) return Status();
  const bool by_seed = recipe.expansion && !recipe.expansion->pattern.empty();
  std::map<std::pair<std::string, uint64_t>, std::string> expanded;
  const auto say = [&](const std::string& text) {
    if (!o.run.quiet) std::fprintf(stderr, "%s\n", printable(text).c_str());
  };
  for (Clip& clip : *clips) {
    const std::pair key(clip.prompt, by_seed ? clip.seed : 0);
    auto it = expanded.find(key);
    if (it == expanded.end()) {
      ZT_ASSIGN_OR_RETURN(std::string prompt, expand_prompt(recipe, clip.prompt, clip.seed, say));
      say("prompt: " + prompt);
      it = expanded.emplace(key, std::move(prompt)).first;
    }
    if (it->second == clip.prompt) continue;
    clip.short_prompt = std::move(clip.prompt);
    clip.prompt = it->second;
  }
  return Status();
}

Status run_generate(Options& o) {
  ZT_RETURN_IF_ERROR(o.run.generate.finish());
  ZT_RETURN_IF_ERROR(check_stdout(o.run.outputs, o.run.json));
  bool drawn = false;
  ZT_ASSIGN_OR_RETURN(const uint64_t seed, parse_seed(o.seed, &drawn));
  ZT_ASSIGN_OR_RETURN(o.run.generate.request.negative, read_prompt(o.negative));
  ZT_ASSIGN_OR_RETURN(std::vector<Clip> clips, clips_of(o, seed));
  ZT_ASSIGN_OR_RETURN(const auto engine, o.run.generate.open_engine(
                                             /*keep_sessions=*/clips.size() > 1 &&
                                             !o.run.sound.given() && !o.run.upsample.given()));
  if (o.prompt_option->count() == 0 && o.prompts.empty() && engine->model().recipe.reads_text())
    return error(Code::kInvalidArgument,
                 "say what to show, such as \"a red ball\"; \"\" leaves it to the model");
  if (engine->model().recipe.sound_alone() && o.output_option->count() == 0 &&
      o.run.known.video.empty())
    o.run.outputs = {"sound.wav"};
  ZT_RETURN_IF_ERROR(expand_prompts(engine->model().recipe, o, &clips));
  Generation generation(o.run, *engine);
  if (!o.checkpoint.folder.empty()) {
    ZT_ASSIGN_OR_RETURN(CheckpointJob job, o.checkpoint.job(o.run, clips, engine->model()));
    generation.keep_states(o.checkpoint.folder, std::move(job));
  }
  return generation.run(clips, drawn);
}

}  // namespace

void add_generate(CLI::App* root, Run* run) {
  auto options = std::make_shared<Options>();
  options->run.outputs = {"clip.mp4"};
  CLI::App* app = root->add_subcommand("generate", "Make a clip with sound from a caption");
  app->footer(
      "`zoetrope inspect` lists captions to try, and the words that the model knows.\n\n"
      "Examples:\n"
      "  zoetrope generate \"a small red star bounces on a blue floor\" -o clip.mp4\n"
      "  zoetrope generate \"a large yellow heart grows\" --seconds 4 --width 160 --height 96 -o "
      "heart.gif\n"
      "  zoetrope generate \"a green triangle\" --frames 1 -o green.png         a still image\n"
      "  zoetrope generate \"a green triangle shrinks\" --image green.png       image to video\n"
      "  zoetrope generate \"a red star bounces\" --extend clip.mp4 -o longer.mp4   more behind a "
      "clip\n"
      "  zoetrope generate \"\" --video silent.mp4 -o sound.wav -o joined.mp4  video to sound\n"
      "  zoetrope generate \"a dog barks\" --model video.zoe --sound sound.zoe -o dog.mp4   "
      "two models\n"
      "  zoetrope generate \"a dog barks\" --model video.zoe --upsample larger.zoe -o big.mp4   "
      "likewise\n"
      "  zoetrope generate \"rain\" --model sound.zoe --seconds 60 -o rain.wav   sound "
      "alone\n"
      "  zoetrope generate \"a red ball\" --checkpoint ck -o ball.mp4          resume goes on\n"
      "  zoetrope generate --model m.zoe --class 207 --class \"tabby cat\" -o grid.png   two "
      "classes");
  options->prompt_option = app->add_option(
      "prompt", options->prompt,
      "What to show and to sound; @FILE reads it from a file, - from standard input. Models of "
      "classes take --class instead");
  options->output_option =
      app->add_option("-o,--output", options->run.outputs,
                      "Where to write; may be given more than once. By extension: " +
                          known_clip_extensions() +
                          "; - is standard output, Y4M unless --format says "
                          "otherwise. One process writes a file at a time")
          ->expected(1)
          ->allow_extra_args(false)
          ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
          ->capture_default_str();
  app->add_option("--format", options->run.format,
                  "The format of outputs, whatever their names: mp4, webm, mkv, mov, gif, y4m, "
                  "png, wav")
      ->check(CLI::IsMember({"mp4", "webm", "mkv", "mov", "gif", "y4m", "png", "wav"}));
  app->add_flag("--no-metadata", options->run.no_metadata,
                "Leave prompt, seed, model, options and receipt out of the files");
  app->add_option("--receipt", options->run.receipt,
                  "Write what made the clip as JSON: the request, devices, kernels, and digests of "
                  "every stage, for `zoetrope verify --receipt`. MP4, MOV, PNG and WAV files hold "
                  "it, too, unless --no-metadata is given");
  app->add_option("--count", options->count,
                  "So many clips in one run, with seeds that follow each other. Names get -1, -2, "
                  "... or have a %d for the number")
      ->check(whole_in(1, 10000))
      ->capture_default_str();
  app->add_option(
         "--prompts", options->prompts,
         "A clip for each line of this file, or of standard input (-), instead of a prompt")
      ->excludes(options->prompt_option);
  app->add_flag("--expand", options->expand,
                "Rewrite each prompt as those that the model was trained on, show it and keep it: "
                "by the model's own grammar where it has one, else by the language model at "
                "ZOETROPE_LLM_URL, an OpenAI-compatible interface");
  app->add_option("--loudness", options->run.loudness,
                  "Bring the sound to so many LUFS (EBU R128), such as -16; peaks stay 1 dB below "
                  "full scale")
      ->check(number_in(kLeastLoudness, kMostLoudness));
  app->add_option("--negative", options->negative, "What to steer away from");
  app->add_option("--seed", options->seed,
                  "The same seed gives the same clip, bit for bit; -1 or random draws one and says "
                  "which")
      ->capture_default_str();
  options->run.known.add_to(app);
  options->run.upsample.add_to(app);
  options->run.sound.add_to(app);
  options->run.generate.add_to(app);
  options->checkpoint.add_to(app);
  app->add_flag("--json", options->run.json, "Print figures as JSON instead of progress");
  app->add_flag("-q,--quiet", options->run.quiet, "Print nothing but errors");
  app->callback([=] { *run = [=] { return run_generate(*options); }; });
}

}  // namespace zoetrope
