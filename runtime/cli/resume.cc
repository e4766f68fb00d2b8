#include <algorithm>
#include <cstdio>
#include <optional>

#include "runtime/cli/checkpoint_flags.h"
#include "runtime/cli/prompt_flags.h"
#include "runtime/cli/record_flags.h"

namespace zoetrope {
namespace {

struct Options {
  std::string folder, model, place, memory, compute, decode_tile;
  DeviceFlags device;
  // What makes another clip of it.
  std::optional<int> from_step, steps;
  std::optional<std::string> prompt, negative;
  std::optional<double> guidance;
  std::vector<double> expert_guidance;
  bool decode_only = false;

  std::vector<std::string> outputs;
  std::string format, receipt;
  CheckpointFlags checkpoint;
  bool list = false, json = false, quiet = false, sequential = false;
  CLI::App* app = nullptr;

  bool changes_text() const { return prompt || negative || guidance || !expert_guidance.empty(); }
  bool is_branch() const { return from_step || steps || decode_only || changes_text(); }
  bool given(const char* flag) const { return app->count(flag) > 0; }
};

std::string numbers(const std::vector<int>& all) {
  std::string text;
  for (const int n : all) text += str(text.empty() ? "" : ", ", n);
  return text.empty() ? "none" : text;
}

// What the folder holds, for people or as JSON.
Status list(const Options& o, const CheckpointFolder& folder) {
  const CheckpointJob& job = folder.job();
  const int64_t clip = folder.clip_in_work();
  const CheckpointClip& c = job.clips[static_cast<size_t>(clip)];
  ZT_ASSIGN_OR_RETURN(const std::vector<int> steps, folder.steps(clip));
  if (o.json) {
    const nlohmann::json answer = {
        {"clips", job.clips.size()},
        {"finished", job.finished},
        {"clip", clip + 1},
        {"prompt", c.prompt},
        {"seed", c.seed},
        {"states", steps},
        {"outputs", job.outputs},
        {"software", job.software},
        {"request", nlohmann::json::parse(request_record_to_json(job.request))}};
    std::printf("%s\n",
                answer.dump(2, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
    return Status();
  }
  std::string text = str("made by ", job.software, " with ", job.request.model.path, "\n");
  text += str(job.finished, " of ", job.clips.size(), " clips are done; clip ", clip + 1, " is \"",
              c.prompt, "\", seed ", c.seed, "\nstates after these steps: ", numbers(steps), "\n");
  for (const std::string& path : job.outputs) text += "goes to " + path + "\n";
  std::fputs(printable(text).c_str(), stdout);
  return Status();
}

// Flags that say where steps run, and in which arithmetic.
constexpr const char* kMoves[] = {"--device", "--place", "--target", "--compute"};

// The state to go on from; null: there is none, or the clip is to begin anew.
Result<SavedState> find_state(const Options& o, const CheckpointFolder& folder, int64_t clip) {
  ZT_ASSIGN_OR_RETURN(const std::vector<int> saved, folder.steps(clip));
  const int wanted = o.from_step.value_or(saved.empty() ? 0 : saved.back());
  const bool there = std::binary_search(saved.begin(), saved.end(), wanted);
  if (o.decode_only && !there && !o.from_step)
    return error(Code::kNotFound, o.folder, " has no latents of clip ", clip + 1,
                 " yet; try again after its first step");
  if (wanted == 0 && !o.decode_only && (!there || o.steps)) return SavedState();
  if (!there)
    return error(Code::kNotFound, o.folder, " has no state after ", wanted, " steps of clip ",
                 clip + 1, "; it has: ", numbers(saved), " (--checkpoint-keep says how many stay)");
  auto state = folder.load(clip, wanted);
  if (state.ok()) {
    if (o.steps && *o.steps != state->point->state.steps)
      return error(Code::kInvalidArgument, "--steps ", *o.steps, ": the latents after ", wanted,
                   " steps are of a schedule of ", state->point->state.steps,
                   ", whose times another count does not have; --from-step 0 begins anew with it");
    return state;
  }
  const auto before = std::lower_bound(saved.begin(), saved.end(), wanted);
  if (before == saved.begin()) return state.status();
  return Status(state.status().code(),
                str(state.status().message(), "; the state before it can be tried: --from-step ",
                    *(before - 1), " -o FILE"));
}

// The record's flags with what is given now in place of what was. `branch`: another clip, whose
// receipt must not take the place of the first one's.
Status apply(const Options& o, const CheckpointJob& job, bool branch, GenerationOptions* run) {
  GenerateFlags& g = run->generate;
  apply_record(job.request, &g, &run->known);
  if (!o.model.empty()) g.model = o.model;
  if (o.given("--place")) g.place = o.place;
  if (o.given("--device")) {
    g.device.device = o.device.device;
    if (!o.given("--place")) g.place.clear();
  }
  if (o.given("--threads")) g.device.threads = o.device.threads;
  if (o.given("--target") || o.given("--device")) g.device.target = o.device.target;
  if (o.given("--memory")) g.memory = o.memory == "all" ? "" : o.memory;
  if (o.given("--memory")) g.request.memory_budget = 0;
  if (o.given("--compute")) g.compute = o.compute;
  if (o.given("--decode-tile")) g.decode_tile = o.decode_tile;
  if (o.given("--decode-tile")) g.request.decode_tile = kAutomaticTile;
  if (o.sequential) g.sequential = true;
  if (o.steps) g.request.steps = *o.steps;
  if (o.guidance) g.request.guidance = *o.guidance;
  if (!o.expert_guidance.empty()) g.request.expert_guidance = o.expert_guidance;
  if (o.negative) {
    ZT_ASSIGN_OR_RETURN(g.request.negative, read_prompt(*o.negative));
  }
  run->outputs = job.outputs;
  run->format = job.format;
  if (!o.outputs.empty()) {
    run->outputs.clear();
    for (const std::string& path : o.outputs) run->outputs.push_back(whole_path(path));
    run->format = o.format;
  }
  if (!branch) run->receipt = job.receipt;
  if (!o.receipt.empty()) run->receipt = whole_path(o.receipt);
  run->json = o.json;
  run->quiet = o.quiet;
  run->no_metadata = !job.metadata;
  run->loudness = job.loudness.value_or(0);
  return g.finish();
}

// Features of text and labels are made anew; so are they where guidance begins or ends, which
// changes how many rows there are.
void forget_text(const Recipe& recipe, StageValues* values) {
  for (const Stage& stage : recipe.stages) {
    if (const auto* text = std::get_if<EncodeText>(&stage)) {
      values->erase(text->gives);
      values->erase(text->gives_lengths);
    }
    if (const auto* label = std::get_if<ClassLabel>(&stage)) values->erase(label->gives);
  }
}

Status run_resume(Options& o) {
  bool branch = o.is_branch();
  ZT_ASSIGN_OR_RETURN(CheckpointFolder folder,
                      CheckpointFolder::open(o.folder, !branch && !o.list));
  if (o.list) return list(o, folder);
  const CheckpointJob job = folder.job();
  if (folder.is_finished() && !branch && o.outputs.empty()) {
    if (!o.quiet)
      std::fprintf(stderr,
                   "nothing is left to do: %s holds a run that is done. --from-step N, --prompt or "
                   "-o FILE make another clip of it; --list says what there is\n",
                   printable(o.folder).c_str());
    return Status();
  }
  branch = branch || folder.is_finished();
  if (branch && o.outputs.empty())
    return error(Code::kInvalidArgument,
                 "this makes another clip than the checkpoint's own: say where with -o FILE");
  if (!branch && !o.checkpoint.folder.empty())
    return error(Code::kInvalidArgument, "--checkpoint: a run that goes on keeps its states in ",
                 o.folder,
                 "; only another clip (--from-step, --prompt, ...) takes a folder of its "
                 "own");
  const int64_t clip = folder.clip_in_work();
  ZT_ASSIGN_OR_RETURN(const SavedState saved, find_state(o, folder, clip));
  GenerationOptions run;
  ZT_RETURN_IF_ERROR(apply(o, job, branch, &run));
  ZT_RETURN_IF_ERROR(check_stdout(run.outputs, run.json));
  ZT_RETURN_IF_ERROR(check_files(job.request));
  ZT_ASSIGN_OR_RETURN(const auto engine, run.generate.open_engine(/*keep_sessions=*/!branch));
  ZT_RETURN_IF_ERROR(check_model_file(job.request, engine->model()));
  std::vector<Clip> clips;
  for (const CheckpointClip& c : job.clips) clips.push_back({c.prompt, c.seed, c.short_prompt});
  // What another prompt, another arithmetic or another place goes on from is no request's to make
  // again.
  const bool moved = std::any_of(std::begin(kMoves), std::end(kMoves),
                                 [&](const char* flag) { return o.given(flag); });
  const bool whole = !o.changes_text() && !o.decode_only && (saved.point == nullptr || !moved);
  const bool more = !branch && static_cast<size_t>(clip) + 1 < clips.size();
  if (!whole && !run.receipt.empty()) {
    if (!o.receipt.empty() && !more)
      return error(Code::kInvalidArgument,
                   "--receipt: latents that were made with another prompt, guidance, arithmetic or "
                   "device cannot be made again from a request; --from-step 0 begins anew");
    if (!o.quiet)
      std::fprintf(stderr, "clip %d gets no receipt: part of it was made in another way\n",
                   static_cast<int>(clip) + 1);
  }
  Continuation from{static_cast<size_t>(clip), saved.point, whole ? saved.receipt : ""};
  if (branch) {
    clips = {clips[static_cast<size_t>(clip)]};
    from.clip = 0;
    if (o.prompt) {
      ZT_ASSIGN_OR_RETURN(clips[0].prompt, read_prompt(*o.prompt));
      clips[0].short_prompt.clear();
    }
    if (saved.point != nullptr && o.changes_text())
      forget_text(engine->model().recipe, &saved.point->values);
    if (saved.point != nullptr) saved.point->decode_only = o.decode_only;
  }
  if (!o.quiet && !o.json && saved.point != nullptr) {
    const DenoiseState& s = saved.point->state;
    std::fprintf(stderr, "%s after step %d of %d, made on %s\n",
                 o.decode_only ? "latents" : "goes on", s.step - s.first, s.steps - s.first,
                 printable(saved.made_on).c_str());
  }
  Generation generation(run, *engine);
  if (!branch) {
    generation.keep_states(std::move(folder), !o.outputs.empty() || !o.receipt.empty());
  } else if (!o.checkpoint.folder.empty()) {
    ZT_ASSIGN_OR_RETURN(CheckpointJob own, o.checkpoint.job(run, clips, engine->model()));
    generation.keep_states(o.checkpoint.folder, std::move(own));
  }
  return generation.run(clips, false, std::move(from));
}

}  // namespace

void add_resume(CLI::App* root, Run* run) {
  auto o = std::make_shared<Options>();
  CLI::App* app = root->add_subcommand("resume", "Go on with a run that kept a checkpoint");
  o->app = app;
  app->footer(
      "The same device gives the same bits as a run that was never stopped; another one the same "
      "clip up to rounding. Model, adapters and given files must be what they were. A checkpoint "
      "names the files that are read and written: take none from people you do not trust.\n\n"
      "Examples:\n"
      "  zoetrope generate \"a red ball\" --checkpoint ck -o ball.mp4\n"
      "  zoetrope resume ck                                  after a crash, or after Ctrl-C\n"
      "  zoetrope resume ck --device cpu                     elsewhere\n"
      "  zoetrope resume ck --list                           what is there?\n"
      "  zoetrope resume ck --decode-only -o look.mp4        the latents as they stand\n"
      "  zoetrope resume ck --from-step 8 --prompt \"a blue ball\" -o blue.mp4    another way");
  app->add_option("folder", o->folder, "The folder that --checkpoint was given")->required();
  app->add_option("--from-step", o->from_step,
                  "Make another clip from the state after so many steps; 0 begins anew")
      ->check(whole_in(0, 10000));
  app->add_option("--prompt", o->prompt,
                  "Another prompt from that step on; @FILE and - as in generate");
  app->add_option("--negative", o->negative, "Another thing to steer away from");
  app->add_option("--guidance", o->guidance, "Another guidance")->check(number_in(0, 100));
  app->add_option("--expert-guidance", o->expert_guidance, "Another guidance of experts")
      ->check(number_in(0, 100))
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  app->add_option("--steps", o->steps,
                  "Another count of steps, with --from-step 0 alone: latents between two steps "
                  "belong to the schedule that they are of")
      ->check(whole_in(1, 10000));
  app->add_flag("--decode-only", o->decode_only,
                "Decode the latents as they stand, noise and all, and denoise no more; also beside "
                "a run that is still at work")
      ->excludes("--steps");
  app->add_option("-o,--output", o->outputs,
                  "Where to write, in place of where the run would have; what makes another clip "
                  "needs it")
      ->expected(1)
      ->allow_extra_args(false)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  app->add_option("--format", o->format, "As in generate; of -o")
      ->check(CLI::IsMember({"mp4", "webm", "mkv", "mov", "gif", "y4m", "png", "wav"}))
      ->needs("--output");
  app->add_option("--receipt", o->receipt, "As in generate: also write the clip's receipt there");
  app->add_option("--model", o->model, "The same model, where its file has moved");
  app->add_option("--place", o->place, "As in generate: what runs where");
  app->add_option("--memory", o->memory, "As in generate: a budget, or all");
  app->add_option("--compute", o->compute, "Arithmetic: f32, bf16 or f16")
      ->check(CLI::IsMember({"f32", "bf16", "f16"}));
  app->add_option("--decode-tile", o->decode_tile, "As in generate");
  app->add_flag("--sequential-guidance", o->sequential, "As in generate");
  o->device.add_to(app);
  o->checkpoint.add_to(app);
  app->add_flag("--list", o->list, "Say what the folder holds, and do nothing");
  app->add_flag("--json", o->json, "Print figures as JSON instead of progress");
  app->add_flag("-q,--quiet", o->quiet, "Print nothing but errors");
  app->callback([=] { *run = [=] { return run_resume(*o); }; });
}

}  // namespace zoetrope
