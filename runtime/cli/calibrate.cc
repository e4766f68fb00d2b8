// Measures the devices, so that plans can say how long a clip takes.
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <set>

#include "models/registry.h"
#include "runtime/cli/builtin.h"
#include "runtime/cli/calibration.h"
#include "runtime/cli/command.h"
#include "runtime/cli/progress.h"
#include "runtime/cli/prompt_flags.h"

namespace zoetrope {
namespace {

struct Options {
  std::vector<std::string> devices, models, computes;
  double seconds = 60;
  bool fresh = false, json = false, quiet = false;
  int threads = 0;
  std::string target;
};

// Sides and lengths of clips, as parts of what a model prefers.
struct ClipScale {
  double side, length;
};
constexpr ClipScale kScales[] = {{1, 1}, {0.5, 0.5}, {0.25, 0.25}, {1, 2}};

// What a person would ask for at that size; nothing where a model wants more than words and
// classes. `half`: without guidance or, of classes, one picture: half the rows.
Request request_of(const Recipe& recipe, const ClipScale& scale, DType compute, bool half) {
  const auto part = [](const Range& range, double scaled) {
    return nearest_in_range(range,
                            static_cast<int64_t>(scaled * static_cast<double>(range.preferred)));
  };
  Request request;
  request.compute = compute;
  request.clip.width = part(recipe.clip.width, scale.side);
  request.clip.height = part(recipe.clip.height, scale.side);
  request.clip.frames = part(recipe.clip.frames, scale.length);
  if (recipe.reads_text()) {
    request.prompt = "a red ball";
    if (half) request.guidance = 1;
  } else {
    request.classes = {"0", "1"};
    if (half) request.classes.pop_back();
  }
  return request;
}

Result<std::unique_ptr<Engine>> open_model(const std::string& name, const EngineOptions& options) {
  if (find_builtin_model(name).ok()) {
    ZT_ASSIGN_OR_RETURN(Model model, builtin_model(name));
    return Engine::create(std::move(model), options);
  }
  ZT_ASSIGN_OR_RETURN(const std::string path, find_model(name));
  return Engine::open(path, options);
}

// The model beside the program, and of every family the first that is built in.
std::vector<std::string> usual_models() {
  std::vector<std::string> names{""};
  std::string_view family;
  for (const BuiltinModel& model : builtin_models()) {
    if (model.recipe == nullptr) continue;
    if (model.family != family) names.emplace_back(model.name);
    family = model.family;
  }
  return names;
}

std::string rate_text(const DeviceTimes& times) {
  double narrow = 0, wide = 0, bytes = 0;
  for (const KernelPoint& p : times.points()) {
    double& rate = p.gives_narrow() ? narrow : wide;
    rate = std::max(rate, p.flops / p.seconds);
    bytes = std::max(bytes, p.bytes / p.seconds);
  }
  std::string text;
  if (wide > 0) text += str("up to ", format_flops(wide), "/s in f32");
  if (narrow > 0)
    text += str(text.empty() ? "up to " : ", ", format_flops(narrow), "/s in narrow types");
  return str(text, text.empty() ? "" : ", ", format_bytes(bytes), "/s");
}

class Calibration {
 public:
  explicit Calibration(const Options& o) : o_(o) {}

  Status run() {
    ZT_ASSIGN_OR_RETURN(const std::vector<std::string> devices, find_devices());
    nlohmann::json all = nlohmann::json::array();
    for (const std::string& device : devices) {
      ZT_ASSIGN_OR_RETURN(nlohmann::json entry, calibrate_one(device));
      all.push_back(std::move(entry));
    }
    if (o_.json) std::printf("%s\n", all.dump(2).c_str());
    return Status();
  }

 private:
  Result<std::vector<std::string>> find_devices() const {
    if (!o_.devices.empty()) return o_.devices;
    std::vector<std::string> all =
        usable_devices({.threads = o_.threads, .force_target = o_.target});
    if (all.empty())
      return error(Code::kUnavailable, "no device to calibrate; `zoetrope devices` says why");
    return all;
  }

  Result<nlohmann::json> calibrate_one(const std::string& spec) {
    EngineOptions options;
    options.devices = {.threads = o_.threads, .force_target = o_.target};
    options.placement.device = spec;
    std::vector<std::unique_ptr<Engine>> engines;
    std::vector<CalibrationWork> work;
    Status last;
    for (const std::string& name : o_.models.empty() ? usual_models() : o_.models) {
      auto engine = open_model(name, options);
      if (!engine.ok() && name.empty()) continue;  // no model beside the program
      if (!engine.ok()) return engine.status();
      ZT_ASSIGN_OR_RETURN(EngineDevice* const device, (*engine)->device(spec));
      for (const std::string& compute : o_.computes)
        for (const ClipScale& scale : kScales)
          for (const bool half : {false, true}) {
            if (interrupted()) return error(Code::kCancelled, "asked to stop");
            ZT_ASSIGN_OR_RETURN(const DType dtype, parse_dtype(compute));
            const auto plan =
                (*engine)->plan(request_of((*engine)->model().recipe, scale, dtype, half));
            if (!plan.ok()) {  // too large for this device, or it wants pictures
              last = plan.status();
              continue;
            }
            const auto jobs = work_on(*plan, *device);
            work.insert(work.end(), jobs.begin(), jobs.end());
          }
      engines.push_back(std::move(*engine));
    }
    if (work.empty())
      return last.ok() ? error(Code::kNotFound, "no model to calibrate with") : last;
    ZT_ASSIGN_OR_RETURN(EngineDevice* const device, engines.front()->device(spec));
    ProgressBar bar(o_.quiet || o_.json);
    std::stop_source stop;
    CalibrationOptions how;
    how.seconds = o_.seconds;
    how.fresh = o_.fresh;
    how.stop = stop.get_token();
    how.progress = [&](double done, double total) {
      bar.update(str("measure ", spec), done, total);
      if (interrupted()) stop.request_stop();
    };
    ZT_ASSIGN_OR_RETURN(const CalibrationReport report, calibrate(*device, work, how));
    bar.end();
    return show(spec, *device, report);
  }

  nlohmann::json show(const std::string& spec, const EngineDevice& device,
                      const CalibrationReport& r) {
    const auto times = device.times();
    const DeviceRates& rates = times->rates();
    if (!o_.json && !o_.quiet) {
      std::printf("%-10s %s\n", spec.c_str(), device.info().name.c_str());
      std::printf(
          "           %zu kernels measured in %s, %zu known; %.0f%% of the time of %zu kernels of "
          "plans\n",
          r.measured, format_seconds(r.seconds).c_str(), r.points, 100 * r.share, r.kernels);
      std::printf("           %s; up %s/s, down %s/s", rate_text(*times).c_str(),
                  format_bytes(rates.upload).c_str(), format_bytes(rates.download).c_str());
      if (rates.stream > 0) std::printf(", streamed %s/s", format_bytes(rates.stream).c_str());
      if (rates.pack > 0) std::printf(", packed %s/s", format_bytes(rates.pack).c_str());
      std::printf("; %s a launch\n", format_seconds(rates.run_seconds).c_str());
    }
    if (!r.saved)
      std::fprintf(stderr, "the cache folder cannot be written: the next run will not know this\n");
    return {{"device", spec},
            {"name", device.info().name},
            {"kernels", r.kernels},
            {"measured", r.measured},
            {"points", r.points},
            {"share", r.share},
            {"seconds", r.seconds},
            {"saved", r.saved},
            {"upload_bytes_per_second", rates.upload},
            {"download_bytes_per_second", rates.download},
            {"stream_bytes_per_second", rates.stream},
            {"pack_bytes_per_second", rates.pack},
            {"run_seconds", rates.run_seconds},
            {"create_seconds", rates.create_seconds}};
  }

  const Options& o_;
};

}  // namespace

std::vector<CalibrationWork> work_on(const RequestPlan& plan, const EngineDevice& device) {
  std::vector<CalibrationWork> work;
  for (const Job& job : plan.jobs)
    if (job.device == &device) work.push_back({job.plan, job.calls});
  return work;
}

Result<bool> calibrate_on_first_use(const RequestPlan& plan, const Placement& placement,
                                    double seconds) {
  const char* const ci = std::getenv("CI");
  if (placement.automatic || isatty(STDERR_FILENO) == 0 || (ci != nullptr && *ci != '\0'))
    return false;
  std::set<EngineDevice*> fresh;
  for (const Job& job : plan.jobs)
    if (!job.device->times()->measured()) fresh.insert(job.device);
  for (EngineDevice* device : fresh) {
    std::fprintf(stderr,
                 "measuring %s once, for about %s, so that times can be told (zoetrope calibrate "
                 "does it better)\n",
                 device->info().name.c_str(), format_seconds(seconds).c_str());
    const auto work = work_on(plan, *device);
    std::stop_source stop;
    CalibrationOptions options;
    options.seconds = seconds;
    options.stop = stop.get_token();
    options.progress = [&](double, double) {
      if (interrupted()) stop.request_stop();
    };
    ZT_RETURN_IF_ERROR(calibrate(*device, work, options).status());
  }
  return !fresh.empty();
}

void add_calibrate(CLI::App* root, Run* run) {
  auto options = std::make_shared<Options>();
  options->computes = {"f32", "bf16"};
  CLI::App* app = root->add_subcommand(
      "calibrate", "Measure the devices once, so that plans know how long a clip takes");
  app->footer(
      "Times the kernels that plans of the built-in models use, at several sizes, for a minute a "
      "device at most, and "
      "keeps\nthe times in the user's cache folder by hardware, driver and version.\n\n"
      "Examples:\n"
      "  zoetrope calibrate\n"
      "  zoetrope calibrate --devices cpu,cuda:0 --seconds 20\n"
      "  zoetrope calibrate --models model.zoe --compute bf16     what this model uses");
  app->add_option("--devices", options->devices,
                  "Devices between commas, as `zoetrope devices` lists them; without, every one "
                  "but software")
      ->delimiter(',');
  app->add_option("--models", options->models,
                  "Files or built-in names between commas whose kernels to measure; without, of "
                  "every family the first, "
                  "and the model that comes with the program")
      ->delimiter(',');
  app->add_option("--compute", options->computes, "Types of arithmetic between commas")
      ->delimiter(',')
      ->check(CLI::IsMember({"f32", "bf16", "f16"}))
      ->capture_default_str();
  app->add_option("--seconds", options->seconds, "About how long, for each device")
      ->check(number_in(0.1, 600))
      ->capture_default_str();
  app->add_flag("--fresh", options->fresh, "Forget what was measured before");
  app->add_option("--threads", options->threads,
                  "CPU threads, as in generate: times are kept for each number")
      ->check(whole_in(0, 1024));
  app->add_option("--target", options->target, "Restrict what the backend uses, as in generate");
  app->add_flag("--json", options->json, "Print JSON");
  app->add_flag("-q,--quiet", options->quiet, "Print nothing but errors");
  app->callback([=] { *run = [=] { return Calibration(*options).run(); }; });
}

}  // namespace zoetrope
