#include "runtime/engine/request_plan.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "runtime/engine/devices.h"
#include "runtime/engine/time_windows.h"

namespace zoetrope {
namespace {

std::string frame_tiles_to_text(const Job& job) {
  const size_t rows = job.rows.tiles.size(), columns = job.columns.tiles.size();
  if (rows * columns < 2) return "";
  const int64_t blend = std::max(job.rows.blend, job.columns.blend);
  return str(", ", rows, "x", columns, " tiles of ", job.rows.length, "x", job.columns.length,
             " latents, ", blend > 0 ? str("blended over ", blend) : std::string("cut"));
}

std::string tiles_to_text(const TilePlan& plan) {
  if (plan.tiles.size() < 2) return "";
  return str(", ", plan.tiles.size(), " tiles of ", plan.length, " latents, ",
             plan.exact       ? std::string("cut exactly")
             : plan.blend > 0 ? str("blended over ", plan.blend)
                              : std::string("cut"));
}

nlohmann::json tiles_to_json(const TilePlan& plan) {
  nlohmann::json tiles = nlohmann::json::array();
  for (const Tile& t : plan.tiles)
    tiles.push_back({{"start", t.start}, {"from", t.from}, {"to", t.to}});
  return {{"length", plan.length},
          {"blend", plan.blend},
          {"exact", plan.exact},
          {"tiles", std::move(tiles)}};
}

std::string latents_to_text(const ClipShape& s) {
  std::string text;
  if (s.latent_frames > 0) text = str(s.latent_frames, "x", s.latent_height, "x", s.latent_width);
  if (s.key_frames > 0) text += str(", ", s.key_frames, " of key frames");
  if (s.end_pictures > 0) text += str(", ", s.end_pictures, " of pictures at its ends");
  if (s.sound_latents > 0) text += str(text.empty() ? "" : " and ", s.sound_latents);
  return text;
}

std::string sampler_to_text(const DenoisePlan& plan) {
  const Denoise& d = plan.denoise;
  const auto* flow = std::get_if<FlowSampler>(&d.sampler);
  if (flow == nullptr) {
    const auto& diffusion = std::get<DiffusionSpec>(d.sampler);
    return str(diffusion.solver, ", spacing ", diffusion.spacing);
  }
  std::string text(solver_name(flow->solver));
  if (flow->solver == FlowSolver::kUniPc)
    text += str(" (order ", flow->order, ", ", unipc_b_name(flow->unipc_b), ")");
  text += str(", schedule ", schedule_name(flow->schedule));
  if (flow->shift != 1) text += str(" shifted by ", flow->shift);
  for (const Denoise::Stream& stream : d.streams)
    if (stream.schedule) text += str(", of '", stream.latents, "' by ", stream.schedule->shift);
  const auto& sigmas = plan.points.sigmas;
  return text + str(" (", sigmas[static_cast<size_t>(plan.first_step)], " to ",
                    sigmas[sigmas.size() - 2], ", then 0)");
}

std::string reduced_to_text(const Reduced& by) {
  return by.any() ? str(", at ", by.to, "/", by.by, " of the size") : "";
}
nlohmann::json reduced_to_json(const Reduced& by) {  // 1.5: latents of 2 for each 3
  if (by.to == 1) return by.by;
  return static_cast<double>(by.by) / by.to;
}

std::string windows_to_text(const ClipShape& shape) {
  const int64_t windows = count_windows(shape);
  if (windows < 2) return "";
  return str(", in ", windows, " windows of ", shape.window, " latents that share ", shape.overlap);
}

std::string guidance_to_text(const DenoisePlan& plan) {
  const Denoise& d = plan.denoise;
  std::string text = str("guidance ", plan.networks[0].guidance,
                         plan.networks[0].halves ? ", its halves on two devices at once" : "");
  for (const Denoise::Stream& stream : d.streams) {
    if (stream.guidance) text += str(", of '", stream.latents, "' ", *stream.guidance);
    if (stream.rescale > 0) text += str(", '", stream.latents, "' rescaled by ", stream.rescale);
  }
  for (const size_t k : plan.networks[0].weaker) {
    text += str(", away from '", d.weaker[k].input, "' by");
    for (const double scale : d.weaker[k].scales) text += str(" ", scale);
  }
  for (size_t i = 1; i < d.networks(); ++i)
    text += str("; below ", d.experts[i - 1].below, " '", d.network(i), "' with guidance ",
                plan.networks[i].guidance,
                plan.networks[i].halves ? ", its halves on two devices at once" : "");
  return text;
}

nlohmann::json sampler_to_json(const DenoisePlan& plan) {
  const auto* flow = std::get_if<FlowSampler>(&plan.denoise.sampler);
  if (flow == nullptr) {
    const auto& diffusion = std::get<DiffusionSpec>(plan.denoise.sampler);
    return {{"solver", diffusion.solver}, {"spacing", diffusion.spacing}};
  }
  nlohmann::json out = {{"solver", solver_name(flow->solver)},
                        {"schedule", schedule_name(flow->schedule)},
                        {"shift", flow->shift},
                        {"first_step", plan.first_step},
                        {"times", plan.points.sigmas},
                        {"told", plan.points.times}};
  for (size_t i = 0; i < plan.stream_points.size(); ++i)
    out["streams"].push_back(
        {{"latents", plan.denoise.streams[i].latents}, {"times", plan.points_of(i).sigmas}});
  if (flow->solver == FlowSolver::kUniPc) {
    out["order"] = flow->order;
    out["unipc_b"] = unipc_b_name(flow->unipc_b);
  }
  return out;
}

nlohmann::json networks_to_json(const DenoisePlan& plan) {
  nlohmann::json list = nlohmann::json::array();
  for (size_t i = 0; i < plan.networks.size(); ++i)
    list.push_back(
        {{"component", plan.denoise.network(i)},
         {"below", i == 0 ? nlohmann::json() : nlohmann::json(plan.denoise.experts[i - 1].below)},
         {"guidance", plan.networks[i].guidance},
         {"evaluations", plan.networks[i].evaluations}});
  return list;
}

}  // namespace

DenoisePlan& RequestPlan::pass(size_t of) {
  for (DenoisePlan& pass : later)
    if (pass.stage == of) return pass;
  return *this;
}

const Job* RequestPlan::find(size_t stage, int64_t key) const {
  for (const Job& job : jobs)
    if (job.stage == stage && job.key == key) return &job;
  return nullptr;
}

const Job& RequestPlan::largest() const {
  return *std::max_element(jobs.begin(), jobs.end(),
                           [](const Job& a, const Job& b) { return a.bytes() < b.bytes(); });
}

namespace {

// Everything of the jobs of a device, each weight once.
class Kept {
 public:
  // `shared_arena`: bytes of an arena that another job brought.
  void add(const Job& job, int64_t shared_arena) {
    const Plan& plan = *job.plan;
    most_ = std::max(most_, job.bytes());
    if (!plans_.insert(&plan).second) return;
    bytes_ += plan.memory.slot_bytes + std::max(plan.memory.arena_bytes - shared_arena, int64_t{0});
    for (const PlanWeight& weight : plan.weights) {
      if (weight.streamed || !is_allocated(plan, weight, job.device->info())) continue;
      const std::string& name = plan.graph.value(weight.value).name;
      if (weights_.emplace(name, weight.layout).second) bytes_ += weight.bytes;
    }
  }
  int64_t most() const { return most_; }  // of one job
  int64_t bytes() const { return bytes_; }

 private:
  std::set<std::pair<std::string, std::string>> weights_;  // names and layouts
  std::set<const Plan*> plans_;
  int64_t bytes_ = 0, most_ = 0;
};

}  // namespace

int64_t RequestPlan::room_on(const EngineDevice& device) const {
  return memory_budget > 0 ? memory_budget : device.info().memory_bytes;
}

RequestPlan::Peak RequestPlan::peak() const {
  std::map<const EngineDevice*, Kept> devices;
  for (size_t i = 0; i < jobs.size(); ++i) {
    // Two jobs that share an arena stand together; it is the larger one's.
    const bool second = i > 0 && jobs[i].shares_arena && jobs[i - 1].shares_arena;
    devices[jobs[i].device].add(jobs[i], second ? jobs[i - 1].plan->memory.arena_bytes : 0);
  }
  Peak peak;
  for (const auto& [device, kept] : devices) {
    const int64_t room = room_on(*device);
    int64_t bytes = kept.most();
    if (keeps_sessions)
      bytes = std::max(bytes, room > 0 ? std::min(kept.bytes(), room) : kept.bytes());
    if (peak.device == nullptr || bytes > peak.bytes) peak = {device, bytes, bytes > kept.most()};
  }
  return peak;
}

namespace {

// What loading takes, job after job: code that one loaded is there for the next on its device.
class LoadTimes {
 public:
  explicit LoadTimes(double disk_rate) : disk_rate_(disk_rate) {}

  double of(const Job& job) {
    if (job.kept) return 0;
    const auto times = job.device->times();
    std::map<std::string_view, std::set<int32_t>> kernels;
    for (const PlanCall& call : job.plan->calls)
      if (!call.on_host) kernels[call.kernel.name].insert(call.distinct);
    double seconds = job.plan->seconds.load;
    if (started_.insert(job.device).second && job.device->sessions_made() == 0)
      seconds += times->rates().start_seconds;
    for (const auto& [name, distinct] : kernels) {
      int64_t& loaded = loaded_[job.device][std::string(name)];
      const auto wanted = std::max(loaded, static_cast<int64_t>(distinct.size()));
      seconds += times->code_seconds(std::string(name), wanted) -
                 times->code_seconds(std::string(name), loaded);
      loaded = wanted;
    }
    if (times->rates().make > 0)
      seconds += job.device->made_serially(*job.plan) / times->rates().make;
    if (disk_rate_ > 0) seconds += static_cast<double>(job.read_bytes) / disk_rate_;
    return seconds;
  }

 private:
  const double disk_rate_;
  std::set<const EngineDevice*> started_;
  std::map<const EngineDevice*, std::map<std::string, int64_t>> loaded_;  // kernels of a name
};

}  // namespace

std::vector<ExpectedTask> expected_tasks(const RequestPlan& plan) {
  std::vector<ExpectedTask> tasks;
  LoadTimes load(plan.disk_rate);
  const auto add = [&](const std::string& name, double seconds) {
    if (!tasks.empty() && tasks.back().name == name)
      tasks.back().seconds += seconds;
    else
      tasks.push_back({name, seconds});
  };
  const auto calls = [&](const Job& job) {
    if (plan.disk_rate <= 0) return job.seconds;
    return job.seconds + job.calls * static_cast<double>(job.reread_bytes) / plan.disk_rate;
  };
  for (size_t i = 0; i < plan.jobs.size(); ++i) {
    const Job& job = plan.jobs[i];
    add(str("load ", job.component), load.of(job));
    if (!job.with_next) {
      add(job.task, calls(job));
      continue;
    }
    // Halves run at once; on one processor they take turns.
    const Job& other = plan.jobs[++i];
    add(str("load ", other.component), load.of(other));
    add(job.task, job.device->info().shares_processor(other.device->info())
                      ? calls(job) + calls(other)
                      : std::max(calls(job), calls(other)));
  }
  return tasks;
}

int64_t RequestPlan::read_bytes() const {
  int64_t bytes = 0;
  for (const Job& job : jobs) bytes += job.read_bytes;
  return bytes;
}

double RequestPlan::reading_seconds() const {
  if (disk_rate <= 0) return 0;
  double bytes = 0;
  for (const Job& job : jobs)
    bytes +=
        static_cast<double>(job.read_bytes) + job.calls * static_cast<double>(job.reread_bytes);
  return bytes / disk_rate;
}

double RequestPlan::estimated_seconds() const {
  for (const Job& job : jobs)
    if (job.seconds == 0 && !job.plan->calls.empty()) return 0;
  double seconds = 0;
  for (const ExpectedTask& task : expected_tasks(*this)) seconds += task.seconds;
  return seconds;
}

bool RequestPlan::calibrated() const {
  return std::all_of(jobs.begin(), jobs.end(),
                     [](const Job& job) { return job.plan->seconds.measured; });
}

std::string request_plan_to_text(const RequestPlan& plan, bool calls) {
  const ClipShape& s = plan.shape;
  std::string text;
  if (s.latent_frames == 0 && s.samples > 0) {
    text = str("sound of ", static_cast<double>(s.samples) / plan.clip.sample_rate, " s, ",
               s.samples, " samples at ", plan.clip.sample_rate, " Hz");
  } else if (s.frames > 1 || s.samples > 0) {
    text = str("clip ", s.width, "x", s.height, ", ", s.frames, " frames at ", plan.clip.fps,
               " fps (", static_cast<double>(s.frames) / plan.clip.fps, " s)");
    if (s.samples > 0) text += str(", ", s.samples, " samples at ", plan.clip.sample_rate, " Hz");
  } else {
    text = str(plan.samples, plan.samples == 1 ? " picture of " : " pictures of ", s.width, "x",
               s.height);
  }
  const auto pass_to_text = [&s](const DenoisePlan& pass) {
    return str(pass.denoise.steps, " steps of ", sampler_to_text(pass), ", ",
               guidance_to_text(pass), reduced_to_text(pass.denoise.reduced), windows_to_text(s));
  };
  text += str("\nlatents ", latents_to_text(s), "; ", pass_to_text(plan));
  for (const DenoisePlan& pass : plan.later) text += str("; then ", pass_to_text(pass));
  text += "\n\n";
  for (const Job& job : plan.jobs) {
    text += str(job.name, " (", job.calls, job.calls == 1 ? " call" : " calls", ")",
                tiles_to_text(job.tiles), frame_tiles_to_text(job), " on ", job.device->spec());
    if (job.seconds > 0) text += str(", about ", format_seconds(job.seconds));
    if (job.beside_bytes > 0)
      text += str(", ", format_bytes(static_cast<double>(job.beside_bytes)), " more beside it");
    if (job.host_bytes > 0)
      text += str(", ", format_bytes(static_cast<double>(job.host_bytes)),
                  " on the host until the last tile is done");
    if (job.reread_bytes > 0)
      text += str(", ", format_bytes(static_cast<double>(job.reread_bytes)),
                  " of the file read again by each call, as this machine cannot keep them");
    text += "\n" + plan_to_text(*job.plan, calls);
  }
  const RequestPlan::Peak peak = plan.peak();
  text += str("\npeak memory ", format_bytes(static_cast<double>(peak.bytes)), ", in ",
              peak.kept ? "all that stays loaded" : str("'", plan.largest().name, "'"), " on ",
              peak.device->spec());
  if (plan.estimated_seconds() > 0)
    text += str("; estimated time ", format_seconds(plan.estimated_seconds()),
                plan.calibrated() ? "" : ", roughly (zoetrope calibrate measures)");
  if (plan.disk_rate > 0)
    text += str("\nof it ", format_seconds(plan.reading_seconds()),
                " of reading: ", format_bytes(static_cast<double>(plan.read_bytes())),
                " of the file are not in memory yet, and its disk gives ",
                format_bytes(plan.disk_rate), " a second");
  return text + "\n";
}

std::string request_plan_to_json(const RequestPlan& plan, bool calls) {
  using nlohmann::json;
  json jobs = json::array();
  LoadTimes load(plan.disk_rate);
  for (const Job& job : plan.jobs) {
    json entry = json::parse(plan_to_json(*job.plan, calls));
    entry["job"] = job.name;
    entry["on"] = job.device->spec();
    entry["runs"] = job.calls;
    entry["bytes"] = job.bytes();
    entry["seconds"] = job.seconds;
    entry["load_seconds"] = load.of(job);
    if (job.host_bytes > 0) entry["host_bytes"] = job.host_bytes;
    if (job.read_bytes > 0) entry["read_bytes"] = job.read_bytes;
    if (job.reread_bytes > 0) entry["reread_bytes"] = job.reread_bytes;
    if (!job.tiles.tiles.empty()) entry["tiles"] = tiles_to_json(job.tiles);
    if (!job.rows.tiles.empty()) {
      entry["rows"] = tiles_to_json(job.rows);
      entry["columns"] = tiles_to_json(job.columns);
    }
    jobs.push_back(std::move(entry));
  }
  const ClipShape& s = plan.shape;
  json later = json::array();
  for (const DenoisePlan& pass : plan.later)
    later.push_back({{"steps", pass.denoise.steps},
                     {"guidance", pass.denoise.guidance},
                     {"reduced", reduced_to_json(pass.denoise.reduced)},
                     {"sampler", sampler_to_json(pass)},
                     {"networks", networks_to_json(pass)}});
  const json out = {{"width", s.width},
                    {"height", s.height},
                    {"frames", s.frames},
                    {"samples", s.samples},
                    {"pictures", plan.samples},
                    {"latents", {s.latent_frames, s.latent_height, s.latent_width}},
                    {"sound_latents", s.sound_latents},
                    {"steps", plan.denoise.steps},
                    {"guidance", plan.denoise.guidance},
                    {"reduced", reduced_to_json(plan.denoise.reduced)},
                    {"windows", count_windows(s)},
                    {"sampler", sampler_to_json(plan)},
                    {"networks", networks_to_json(plan)},
                    {"later", later},
                    {"jobs", jobs},
                    {"peak_bytes", plan.peak_bytes()},
                    {"disk_bytes_per_second", plan.disk_rate},
                    {"estimated_seconds", plan.estimated_seconds()},
                    {"calibrated", plan.calibrated()}};
  return out.dump(2);
}

}  // namespace zoetrope
