#include "runtime/cli/generation.h"
#include "runtime/cli/loop_measure.h"
#include "runtime/cli/loudness_sink.h"

#include <sys/resource.h>

#include <algorithm>
#include <cstdio>

#include "graph/format/output_file.h"
#include "runtime/cli/calibration.h"
#include "runtime/cli/clip_assembly.h"
#include "runtime/cli/receipt_flags.h"
#include "runtime/cli/record_flags.h"
#include "runtime/cli/seam_measure.h"
#include "runtime/engine/time_windows.h"

namespace zoetrope {
namespace {

constexpr double kLong = 30, kFirstUse = 3;  // seconds

ClipTags tags_of(const GenerationOptions& o, const Model& model, const RequestPlan& plan,
                 const std::string& expanded_from) {
  const Request& g = o.generate.request;
  const ClipShape& shape = plan.shape;
  std::vector<std::pair<std::string, std::string>> options = {
      {"steps", str(plan.denoise.steps)},
      {"guidance", str(plan.denoise.guidance)},
      {"compute", std::string(dtype_name(g.compute))}};
  const std::pair<std::string, int64_t> sizes[] = {
      {"width", shape.width}, {"height", shape.height}, {"frames", shape.frames}};
  if (!model.recipe.sound_alone())
    for (size_t i = 0; i < 3; ++i)
      options.emplace(options.begin() + static_cast<std::ptrdiff_t>(i), sizes[i].first,
                      str(sizes[i].second));
  for (const double guidance : g.expert_guidance)
    options.emplace_back("expert_guidance", str(guidance));
  if (o.loudness != 0) options.emplace_back("loudness", str(o.loudness));
  if (o.upsample.given()) options.emplace_back("upsample", o.upsample.model);
  if (o.sound.given()) options.emplace_back("sound", o.sound.model);
  if (!o.sound.prompt.empty()) options.emplace_back("sound-prompt", o.sound.prompt);
  if (!expanded_from.empty()) options.emplace_back("expanded_from", expanded_from);
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

int64_t peak_resident_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return int64_t{usage.ru_maxrss} * 1024;
}

nlohmann::json to_json(const Clip& clip, const std::vector<std::string>& paths,
                       const ClipFormat& format, const Outputs& outputs, const RunStats& stats,
                       const LoopMeasure& loop, const SeamMeasure& seams) {
  nlohmann::json files = nlohmann::json::array();
  for (size_t i = 0; i < paths.size(); ++i)
    files.push_back({{"path", paths[i]}, {"codecs", outputs.description(i)}});
  nlohmann::json answer = {{"files", files},
                           {"width", format.width},
                           {"height", format.height},
                           {"frames", format.frames},
                           {"samples", format.samples},
                           {"prompt", clip.prompt},
                           {"seed", clip.seed},
                           {"load_seconds", stats.load_seconds},
                           {"first_step_seconds", stats.first_step_seconds},
                           {"denoise_seconds", stats.denoise_seconds},
                           {"decode_seconds", stats.decode_seconds},
                           {"total_seconds", stats.total_seconds},
                           {"planned_peak_bytes", stats.planned_peak_bytes},
                           {"session_peak_bytes", stats.peak_bytes},
                           {"process_peak_bytes", peak_resident_bytes()}};
  for (const SeamMeasure::Seam& seam : seams.seams())
    answer["seams"].push_back({{"at", seam.at}, {"step", seam.step}, {"around", seam.around}});
  if (loop.count() > 1)
    answer["loop"] = {{"last_to_first", loop.last_to_first()},
                      {"neighbours", loop.neighbours()},
                      {"most_of_neighbours", loop.most_of_neighbours()}};
  if (loop.at_seams() > 0)
    answer["seams"] = {{"joined", loop.at_seams()}, {"elsewhere", loop.elsewhere()}};
  return answer;
}

// Where windows over time join, in frames of the clip that comes out; of a loop they move.
std::vector<std::pair<int64_t, int64_t>> seams_of(const Recipe& recipe, const RequestPlan& plan,
                                                  int64_t frames_before) {
  std::vector<std::pair<int64_t, int64_t>> seams;
  const LatentSpec* picture = recipe.picture();
  if (plan.shape.window == 0 || plan.shape.loop || picture == nullptr) return seams;
  for (const TimeWindow& window : windows_of(recipe, *picture, plan.shape, 0)) {
    if (window.start == 0) continue;
    const int64_t first = frames_of_latents(*picture, window.start);
    const int64_t last = frames_of_latents(*picture, window.start + plan.shape.overlap);
    seams.emplace_back(frames_before + first, frames_before + last);
  }
  return seams;
}

// Whether the clip is to end where it begins.
bool asks_for_loop(const KnownFiles& files, const KnownMedia& known) {
  const bool same =
      known.first.frames == 1 && known.last.frames == 1 && known.first.pixels == known.last.pixels;
  return files.loop || same ||
         (!files.extend.empty() && !files.lead_to.empty() && files.lead_frames == 0);
}

std::string length_of(const ClipFormat& format, const RequestPlan& plan) {
  if (format.width == 0) {
    char text[32];
    std::snprintf(text, sizeof(text), "%.2f s of sound, ",
                  static_cast<double>(format.samples) / format.sample_rate);
    return text;
  }
  if (plan.shape.frames <= 1) return plan.samples > 1 ? str(plan.samples, " pictures, ") : "";
  char text[32];
  std::snprintf(text, sizeof(text), "%.2f s, ", static_cast<double>(format.frames) / format.fps);
  return text;
}

}  // namespace

Status check_stdout(const std::vector<std::string>& outputs, bool json) {
  for (const std::string& path : outputs)
    if (const auto target = resolve_output(path); target.ok() && target->descriptor == 1 && json)
      return error(Code::kInvalidArgument, "-o ", path,
                   " and --json both write to standard output; give one of them a file");
  return Status();
}

Generation::Generation(GenerationOptions& options, Engine& engine)
    : o_(options),
      engine_(engine),
      request_(options.generate.request),
      bar_(options.quiet || options.json) {
  hooks_.stop = options.stop;
  hooks_.progress = [this](std::string_view task, double done, double total) {
    if (o_.listener != nullptr) return o_.listener->progress(task, done, total);
    bar_.update(task, done, total);
    return !interrupted();
  };
  hooks_.notice = [this](const std::string& text) {
    if (o_.listener != nullptr) return o_.listener->notice(text);
    if (o_.json && !o_.quiet) std::fprintf(stderr, "%s\n", text.c_str());
    bar_.message(text);
  };
}

Status Generation::run(const std::vector<Clip>& clips, bool seed_drawn, Continuation from) {
  const Recipe& recipe = engine_.model().recipe;
  clips_ = clips;
  from_ = std::move(from);
  ZT_ASSIGN_OR_RETURN(target_, media_target(recipe, o_.known, &request_.clip));
  ZT_ASSIGN_OR_RETURN(known_, read_known_files(o_.known, target_));
  ZT_RETURN_IF_ERROR(give_known(recipe, o_.known, &known_, &request_));
  ZT_RETURN_IF_ERROR(open_later());
  if (o_.loudness != 0 && target_.channels == 0 && known_.own_rate == 0 && !later_.sound())
    return error(Code::kInvalidArgument, "--loudness: this clip has no sound");
  ZT_RETURN_IF_ERROR(prepare());
  if (!new_checkpoint_.first.empty()) {
    ZT_ASSIGN_OR_RETURN(auto folder, CheckpointFolder::create(new_checkpoint_.first,
                                                              std::move(new_checkpoint_.second)));
    checkpoint_.emplace(std::move(folder));
  }
  if (moves_outputs_)
    ZT_RETURN_IF_ERROR(checkpoint_->set_outputs(o_.outputs, o_.format, o_.receipt));
  for (const std::string& notice : known_.notices) hooks_.notice(notice);
  nlohmann::json all = nlohmann::json::array();
  for (size_t i = from_.clip; i < clips_.size(); ++i) {
    if (clips_.size() > 1)
      hooks_.notice(str(paths_[i][0], ": seed ", clips_[i].seed));
    else if (seed_drawn)
      hooks_.notice(str("seed ", clips_[i].seed));
    ZT_ASSIGN_OR_RETURN(nlohmann::json made, make(i));
    all.push_back(std::move(made));
  }
  if (!o_.json) return Status();
  // Paths are bytes; what is not UTF-8 in them is shown as U+FFFD.
  const nlohmann::json& answer = clips_.size() == 1 ? all[0] : all;
  std::printf("%s\n", answer.dump(2, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
  return Status();
}

// What is given of the clip's sound is not for a second model to make.
Status Generation::check_sound() const {
  if (!o_.sound.given()) return Status();
  if (!o_.known.extend.empty() || !o_.known.lead_to.empty())
    return error(Code::kInvalidArgument,
                 "--sound with --extend or --lead-to: the clip that is given keeps its own sound; "
                 "make the longer clip first, and its sound with --model ",
                 o_.sound.model, " --video CLIP");
  if (known_.own_rate > 0)
    return error(Code::kInvalidArgument, "--sound: ", o_.known.video,
                 " has sound of its own, which stays; without it, --model ", o_.sound.model,
                 " --video CLIP makes another");
  if (request_.clip.loop)
    return error(Code::kInvalidArgument,
                 "--sound with --loop: the second model's sound has a beginning and an end");
  return Status();
}

Status Generation::open_later() {
  ZT_RETURN_IF_ERROR(check_sound());
  if (o_.upsample.given() && request_.clip.loop)
    return error(Code::kInvalidArgument,
                 "--upsample with --loop: the second model's clip has a beginning and an end");
  for (const auto& [flag, model] :
       {std::pair{"--upsample", &o_.upsample.model}, {"--sound", &o_.sound.model}})
    if (!model->empty() && (checkpoint_ || !new_checkpoint_.first.empty()))
      return error(Code::kInvalidArgument, flag,
                   " with --checkpoint: a folder keeps the work of one model; make the clip first, "
                   "and then --model ",
                   *model, " --video CLIP");
  return later_.open(o_.upsample, o_.sound, o_.generate, engine_.model().recipe);
}

// The first model's clip, as later ones get it.
FirstClip Generation::first_clip(size_t clip, const RequestPlan& plan, int* channels) const {
  Outputs none;
  const ClipFormat f = ClipAssembly(known_, request_.known, target_, none).format(plan.shape);
  if (channels != nullptr) *channels = f.channels;
  return {f.width, f.height, f.frames, f.fps, clips_[clip].prompt, clips_[clip].seed};
}

Result<std::vector<LaterPlan>> Generation::plan_later(size_t clip, const RequestPlan& plan) {
  if (!later_.any()) return std::vector<LaterPlan>();
  return later_.plan(first_clip(clip, plan, nullptr));
}

Result<RequestPlan> Generation::plan(size_t clip) {
  request_.prompt = clips_[clip].prompt;
  request_.seed = clips_[clip].seed;
  expanded_from_ = clips_[clip].short_prompt;
  request_.resume = clip == from_.clip ? from_.point : nullptr;
  ZT_ASSIGN_OR_RETURN(RequestPlan plan, engine_.plan(request_));
  known_.frames = plan.shape.frames;
  known_.samples = plan.shape.samples;
  return plan;
}

void Generation::keep_state(size_t clip, const RequestPlan& plan, const StageLog& log,
                            const DenoiseState& state, const StageValues& values) {
  const std::string receipt =
      wants_receipt(clip) ? receipt_to_json(receipt_of(RequestRecord(), plan, log)) : "";
  const Status kept = checkpoint_->save(static_cast<int64_t>(clip), state, values, plan,
                                        engine_.model().recipe, receipt);
  if (kept.ok())
    not_kept_.clear();
  else
    say_not_kept(kept);
}

// Hours of work are worth more than their copy.
void Generation::say_not_kept(const Status& status) {
  if (!not_kept_.empty()) return;  // until one is kept again
  not_kept_ = status.message();
  hooks_.notice("the checkpoint could not be written; the run goes on without: " + not_kept_);
}

// Pictures of several classes share a file, but where its name counts them.
bool Generation::as_grid(const RequestPlan& plan) const {
  return plan.samples > 1 &&
         std::none_of(o_.outputs.begin(), o_.outputs.end(),
                      [](const std::string& path) { return path.find('%') != std::string::npos; });
}

ClipFormat Generation::format_of(const RequestPlan& plan, const ClipAssembly& assembly,
                                 const GridSink& tiles) const {
  ClipFormat format = assembly.format(plan.shape);
  later_.change(&format);
  if (o_.loudness != 0) {  // no longer what is in the file
    format.copy_sound.clear();
    format.exact_sound = false;
  }
  if (as_grid(plan)) {
    format.width = tiles.width();
    format.height = tiles.height();
  } else if (plan.samples > 1) {
    format.frames = plan.samples;
  }
  format.container = o_.format;
  if (!o_.no_metadata) format.tags = tags_of(o_, engine_.model(), plan, expanded_from_);
  return format;
}

// Plans every clip and looks at all files, before anything is computed.
Status Generation::prepare() {
  std::vector<std::string> all;
  ClipFormat format;
  paths_.assign(clips_.size(), o_.outputs);
  receipts_.assign(clips_.size(), "");
  for (size_t i = from_.clip; i < clips_.size(); ++i) {
    ZT_ASSIGN_OR_RETURN(const RequestPlan planned, plan(i));
    Outputs none;
    format = format_of(planned, ClipAssembly(known_, request_.known, target_, none),
                       GridSink(planned.samples, planned.shape.width, planned.shape.height, none));
    ZT_RETURN_IF_ERROR(plan_later(i, planned).status());
    for (std::string& path : paths_[i]) {
      if (clips_.size() == 1) break;
      ZT_ASSIGN_OR_RETURN(path, numbered_path(path, format, i + 1, clips_.size()));
    }
    all.insert(all.end(), paths_[i].begin(), paths_[i].end());
    std::string receipt = o_.receipt;
    if (!receipt.empty() && clips_.size() > 1) {
      ZT_ASSIGN_OR_RETURN(receipt, numbered_path(receipt, format, i + 1, clips_.size()));
    }
    receipts_[i] = std::move(receipt);
  }
  OutputFiles files;
  for (const std::string& input : inputs()) files.read(input);
  ZT_RETURN_IF_ERROR(add_clips(all, format, &files));
  if (later_.sound()) ZT_RETURN_IF_ERROR(check_heard(all, format));
  for (const std::string& receipt : receipts_)
    ZT_RETURN_IF_ERROR(files.write("--receipt", receipt));
  ZT_ASSIGN_OR_RETURN(claim_, files.claim());
  return Status();
}

// Every file that the run reads, as far as it has a name.
std::vector<std::string> Generation::inputs() const {
  std::vector<std::string> paths = o_.known.paths();
  if (!engine_.model().path.empty()) paths.push_back(engine_.model().path);
  for (std::string& path : later_.paths()) paths.push_back(std::move(path));
  for (const AdapterRecord& adapter : o_.generate.adapters) paths.push_back(adapter.file.path);
  return paths;
}

// With the jobs that a run that goes on no longer has.
Receipt Generation::receipt_of(RequestRecord record, const RequestPlan& plan,
                               const StageLog& log) const {
  Receipt receipt = make_receipt(std::string("Zoetrope ") + ZOETROPE_VERSION, std::move(record),
                                 plan, log.records());
  std::vector<ReceiptJob> jobs = before_.jobs;
  for (ReceiptJob& job : receipt.jobs) {
    const auto old = std::find_if(jobs.begin(), jobs.end(),
                                  [&](const ReceiptJob& j) { return j.name == job.name; });
    if (old != jobs.end())
      *old = std::move(job);
    else
      jobs.push_back(std::move(job));
  }
  receipt.jobs = std::move(jobs);
  return receipt;
}

// Into the files that can hold it, and beside them where asked for. Adds nothing to the files when
// metadata is not wanted.
Status Generation::give_receipt(const RequestPlan& plan, const StageLog& log,
                                const std::string& file, Outputs* outputs) {
  ZT_ASSIGN_OR_RETURN(RequestRecord record, record_of(o_.generate, o_.known, engine_.model()));
  Receipt receipt = receipt_of(std::move(record), plan, log);
  ZT_RETURN_IF_ERROR(later_.add_receipts(&receipt));
  if (!o_.no_metadata) outputs->add_tag(kReceiptTag, receipt_to_json(for_clip(receipt)));
  return file.empty() ? Status() : write_text(file, receipt_to_json(receipt) + "\n");
}

// What the plan says, before anything runs. Where a person waits for a long time that is but
// roughly known, a few seconds go into measuring.
Result<RequestPlan> Generation::tell(size_t clip) {
  ZT_ASSIGN_OR_RETURN(RequestPlan planned, plan(clip));
  if (o_.json || o_.quiet) return planned;
  if (const double rough = planned.estimated_seconds(); rough == 0 || rough > kLong) {
    ZT_ASSIGN_OR_RETURN(const Placement placement, o_.generate.placement());
    ZT_ASSIGN_OR_RETURN(const bool again, calibrate_on_first_use(planned, placement, kFirstUse));
    if (again) {
      ZT_ASSIGN_OR_RETURN(planned, plan(clip));
    }
  }
  ZT_ASSIGN_OR_RETURN(const auto later, plan_later(clip, planned));
  tell_estimate(planned, later, hooks_);
  return planned;
}

// The files are opened once the plan is accepted.
Result<nlohmann::json> Generation::make(size_t clip) {
  const std::vector<std::string>& paths = paths_[clip];
  ZT_ASSIGN_OR_RETURN(const RequestPlan planned, tell(clip));
  Outputs outputs;
  const KnownFiles::Shown& shown = known_.shown;
  ZT_ASSIGN_OR_RETURN(const auto later, plan_later(clip, planned));
  const ClipShape& seen = later_.make_larger() ? later[0].plan.shape : planned.shape;
  const int64_t pixels = shown.path.empty() ? seen.width * seen.height : shown.width * shown.height;
  LoopMeasure loop(3 * pixels, outputs);
  loop.watch(seams_of(engine_.model().recipe, planned,
                      known_.extend_frames - request_.known.before.frames));
  const bool own = known_.own_rate > 0;
  const ClipSpec& heard =
      later_.sound() ? later_.sound()->model().recipe.clip : engine_.model().recipe.clip;
  LoudnessSink leveled(o_.loudness, own ? known_.own_rate : heard.sample_rate,
                       own ? known_.own_channels : heard.sound_channels, loop);
  SeamMeasure seams(heard.sample_rate, heard.sound_channels,
                    ClipAssembly(known_, request_.known, target_, leveled).seams(planned.shape),
                    leveled);
  ClipSink* next = &seams;
  if (later_.any()) {
    int channels = 0;
    const FirstClip first = first_clip(clip, planned, &channels);
    ZT_ASSIGN_OR_RETURN(next, later_.begin(first, channels, leveled));
  }
  ClipAssembly assembly(known_, request_.known, target_, *next);
  GridSink tiles(planned.samples, planned.shape.width, planned.shape.height, outputs);
  const bool grid = as_grid(planned);
  const ClipFormat format = format_of(planned, assembly, tiles);
  ZT_RETURN_IF_ERROR(outputs.open(paths, format));
  // Pictures of several classes go past the assembly, which puts one clip together.
  ClipSink* sink = planned.samples == 1 ? static_cast<ClipSink*>(&assembly)
                   : grid               ? static_cast<ClipSink*>(&tiles)
                                        : &outputs;
  bar_.expect(all_tasks(planned, later));
  if (o_.listener != nullptr) ZT_RETURN_IF_ERROR(o_.listener->expect(planned));
  StageLog log(sink, kReceiptSamples, /*keep_clip=*/false);
  log.begin(planned.shape.width * planned.shape.height * 3, planned.clip.sound_channels);
  before_ = Receipt();
  if (clip == from_.clip && !from_.receipt.empty()) {
    ZT_ASSIGN_OR_RETURN(before_, parse_receipt(from_.receipt, "the checkpoint's receipt"));
    log.go_on_from(before_.stages);
  }
  RunHooks hooks = hooks_;
  if (wants_receipt(clip))
    hooks.observe = [&log](const Observation& made) { return log.observe(made); };
  if (o_.listener != nullptr && o_.listener->previews())
    hooks.denoised = [&](std::span<const float> latents, int step, int) {
      o_.listener->denoised(planned, latents, step);
    };
  if (checkpoint_)
    hooks.state = [&](const DenoiseState& state, const StageValues& values) {
      keep_state(clip, planned, log, state, values);
      return Status();
    };
  ZT_ASSIGN_OR_RETURN(RunStats stats,
                      engine_.run(request_, wants_receipt(clip) ? log : *sink, hooks));
  if (grid) ZT_RETURN_IF_ERROR(tiles.finish());
  ZT_RETURN_IF_ERROR(assembly.finish());
  ZT_RETURN_IF_ERROR(later_.run(hooks_, &stats));
  ZT_RETURN_IF_ERROR(leveled.finish());
  if (!leveled.notice().empty()) hooks_.notice(leveled.notice());
  if (wants_receipt(clip))
    ZT_RETURN_IF_ERROR(give_receipt(planned, log, receipts_[clip], &outputs));
  ZT_RETURN_IF_ERROR(outputs.finish());
  if (checkpoint_)
    if (const Status done = checkpoint_->finish(static_cast<int64_t>(clip)); !done.ok())
      say_not_kept(done);
  bar_.end();
  if (!o_.json && !o_.quiet) {
    for (size_t i = 0; i < paths.size(); ++i)
      std::fprintf(stderr, "%s: %s%s%s\n", paths[i].c_str(),
                   format.width > 0 ? str(format.width, "x", format.height, ", ").c_str() : "",
                   length_of(format, planned).c_str(), outputs.description(i).c_str());
    if (loop.at_seams() > 0)
      std::fprintf(stderr,
                   "where windows join neighbours differ by %.2f of 255 a value, elsewhere by "
                   "%.2f\n",
                   loop.at_seams(), loop.elsewhere());
    if (loop.count() > 1 && asks_for_loop(known_, request_.known))
      std::fprintf(stderr,
                   "in a loop the last frame differs from the first by %.2f of 255 a value, "
                   "neighbours by %.2f, at most %.2f\n",
                   loop.last_to_first(), loop.neighbours(), loop.most_of_neighbours());
    for (const SeamMeasure::Seam& seam : seams.seams())
      std::fprintf(
          stderr,
          "at sample %ld known and new sound meet with a step of %.4f of full scale, those "
          "around it are up to %.4f\n",
          static_cast<long>(seam.at), seam.step, seam.around);
    std::fprintf(stderr, "done in %s; peak memory: plan %s, whole process %s\n",
                 format_seconds(stats.total_seconds).c_str(),
                 format_bytes(static_cast<double>(stats.planned_peak_bytes)).c_str(),
                 format_bytes(static_cast<double>(peak_resident_bytes())).c_str());
  }
  return to_json(clips_[clip], paths, format, outputs, stats, loop, seams);
}

}  // namespace zoetrope
