#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>

#include "graph/passes/pipeline.h"
#include "runtime/cli/calibration.h"
#include "runtime/cli/clip_assembly.h"
#include "runtime/cli/generate_flags.h"
#include "runtime/cli/known_files.h"
#include "runtime/cli/later_models.h"
#include "runtime/cli/output_files.h"
#include "runtime/cli/plan_page.h"
#include "runtime/cli/progress.h"

namespace zoetrope {
namespace {

constexpr double kFirstUse = 4;    // seconds a device, unasked
constexpr double kCalibrate = 60;  // asked for

struct Options {
  GenerateFlags generate;
  KnownFlags known;
  UpsampleFlags upsample;
  SoundFlags sound;
  std::vector<std::string> bindings;  // NAME=VALUE
  std::vector<std::string> compare, devices;
  std::string component, html;
  bool json = false, calls = false, calibrate = false, measure = false;
  std::vector<std::string> dump_after;
};

PassObserver observer_of(const Options& o) {
  if (o.dump_after.empty()) return {};
  return [&o](std::string_view pass, const Graph& graph) {
    for (const std::string& wanted : o.dump_after)
      if (wanted == pass || wanted == "all")
        std::printf("after %s:\n%s\n", std::string(pass).c_str(), to_text(graph).c_str());
  };
}

Status plan_component(const Options& o, Engine& engine) {
  const Request& request = o.generate.request;
  CompileOptions compile;
  compile.compute = request.compute;
  compile.fuse = request.fuse;
  compile.memory_budget = request.memory_budget;
  compile.after_pass = observer_of(o);
  ZT_RETURN_IF_ERROR(parse_bindings(o.bindings, &compile.bindings));
  ZT_ASSIGN_OR_RETURN(const auto plan, engine.plan_component(o.component, compile));
  const std::string text =
      o.json ? plan_to_json(*plan, o.calls) + "\n" : plan_to_text(*plan, o.calls);
  std::fputs(text.c_str(), stdout);
  return Status();
}

// Measures every device that the plan uses, as long as it takes.
Status calibrate_for(const RequestPlan& plan, bool quiet) {
  std::map<std::string, EngineDevice*> devices;
  for (const Job& job : plan.jobs) devices.emplace(job.device->spec(), job.device);
  for (const auto& [spec, device] : devices) {
    ProgressBar bar(quiet);
    std::stop_source stop;
    CalibrationOptions options;
    options.seconds = kCalibrate;
    options.stop = stop.get_token();
    options.progress = [&, name = str("measure ", spec)](double done, double total) {
      bar.update(name, done, total);
      if (interrupted()) stop.request_stop();
    };
    ZT_RETURN_IF_ERROR(calibrate(*device, work_on(plan, *device), options).status());
  }
  return Status();
}

Result<RequestPlan> plan_request(const Options& o, Engine& engine) {
  const Request& request = o.generate.request;
  ZT_ASSIGN_OR_RETURN(RequestPlan plan, engine.plan(request, observer_of(o)));
  bool again = o.calibrate;
  if (o.calibrate) {
    ZT_RETURN_IF_ERROR(calibrate_for(plan, o.json));
  } else if (!o.json) {
    ZT_ASSIGN_OR_RETURN(const Placement placement, o.generate.placement());
    ZT_ASSIGN_OR_RETURN(again, calibrate_on_first_use(plan, placement, kFirstUse));
  }
  return again ? engine.plan(request) : plan;
}

double processor_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto of = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
  };
  return of(usage.ru_utime) + of(usage.ru_stime);
}

// What a run took, by the tasks that it told its progress under.
struct Measured {
  RunStats stats;
  std::map<std::string, double> tasks;
  double processor = 0;  // seconds of all threads
};

Result<Measured> run_request(const Options& o, Engine& engine) {
  using Clock = std::chrono::steady_clock;
  Measured out;
  ProgressBar bar(o.json);
  std::string task = "begin";
  Clock::time_point since = Clock::now();
  RunHooks hooks;
  hooks.progress = [&](std::string_view name, double done, double total) {
    if (name != task) {
      out.tasks[task] += std::chrono::duration<double>(Clock::now() - since).count();
      task = name;
      since = Clock::now();
    }
    bar.update(name, done, total);
    return !interrupted();
  };
  NoSink sink;
  const double before = processor_seconds();
  ZT_ASSIGN_OR_RETURN(out.stats, engine.run(o.generate.request, sink, hooks));
  out.processor = processor_seconds() - before;
  out.tasks[task] += std::chrono::duration<double>(Clock::now() - since).count();
  return out;
}

Cells measured_cells(const RequestPlan& plan, const Measured& m) {
  const auto ratio = [](double predicted, double measured) {
    char text[32];
    std::snprintf(text, sizeof(text), "%.3f", measured > 0 ? predicted / measured : 0);
    return std::string(text);
  };
  Cells cells{{"", "predicted", "measured", "ratio"}};
  std::map<std::string, double> expected;
  std::vector<std::string> order;
  for (const ExpectedTask& task : expected_tasks(plan)) {
    if (!expected.contains(task.name)) order.push_back(task.name);
    expected[task.name] += task.seconds;
  }
  for (const std::string& name : order) {
    const auto it = m.tasks.find(name);
    const double took = it == m.tasks.end() ? 0 : it->second;
    cells.push_back(
        {name, format_seconds(expected[name]), format_seconds(took), ratio(expected[name], took)});
  }
  cells.push_back({"in all", format_seconds(plan.estimated_seconds()),
                   format_seconds(m.stats.total_seconds),
                   ratio(plan.estimated_seconds(), m.stats.total_seconds)});
  const auto planned = static_cast<double>(m.stats.planned_peak_bytes),
             held = static_cast<double>(m.stats.peak_bytes);
  cells.push_back({"peak memory", format_bytes(planned), format_bytes(held), ratio(planned, held)});
  return cells;
}

nlohmann::json measured_to_json(const Measured& m) {
  return {{"tasks", m.tasks},
          {"total_seconds", m.stats.total_seconds},
          {"load_seconds", m.stats.load_seconds},
          {"denoise_seconds", m.stats.denoise_seconds},
          {"decode_seconds", m.stats.decode_seconds},
          {"processor_seconds", m.processor},
          {"planned_peak_bytes", m.stats.planned_peak_bytes},
          {"peak_bytes", m.stats.peak_bytes}};
}

// The request under each budget of --compare, or on each device of --devices; the nearest that fits
// is said under the table.
Status compare(Options& o) {
  std::vector<Alternative> all;
  std::vector<std::unique_ptr<Engine>> engines;  // plans live as long as theirs
  std::vector<int64_t> budgets{o.generate.request.memory_budget};
  if (!o.compare.empty()) budgets.clear();
  for (const std::string& text : o.compare) {
    auto bytes = parse_bytes(text);
    if (!bytes.ok()) return bytes.status().with_context("--compare");
    budgets.push_back(*bytes);
  }
  for (const std::string& device : o.devices.empty() ? std::vector<std::string>{""} : o.devices) {
    if (!device.empty()) o.generate.device.device = device;
    auto engine = o.generate.open_engine(false, true);
    if (!engine.ok()) return engine.status();
    for (const int64_t budget : budgets) {
      Request request = o.generate.request;
      request.memory_budget = budget;
      Result<RequestPlan> plan = (*engine)->plan(request);
      // Whatever else is wrong is wrong with all of them.
      if (!plan.ok() && plan.status().code() != Code::kResourceExhausted) return plan.status();
      all.push_back({device, budget, std::move(plan)});
    }
    engines.push_back(std::move(*engine));
  }
  if (!o.html.empty())
    ZT_RETURN_IF_ERROR(alternatives_page(engines[0]->model(), all).write(o.html));
  if (o.json) {
    std::printf("%s\n", alternatives_to_json(all).c_str());
    return Status();
  }
  std::fputs(cells_to_text(alternative_cells(all)).c_str(), stdout);
  for (const Alternative& a : all)
    if (!a.plan.ok()) std::printf("%s\n", a.plan.status().message().c_str());
  const bool any = std::any_of(all.begin(), all.end(), [](const auto& a) { return a.plan.ok(); });
  return any ? Status() : error(Code::kResourceExhausted, "none of these fits");
}

// Of later models, for the clip that the first one makes.
class LaterPlans {
 public:
  static Result<LaterPlans> make(const Options& o, const Recipe& recipe, const RequestPlan& first,
                                 KnownFiles* known, const MediaTarget& target) {
    LaterPlans second;
    second.models_ = std::make_unique<LaterModels>();
    ZT_RETURN_IF_ERROR(second.models_->open(o.upsample, o.sound, o.generate, recipe, true));
    if (!second.models_->any()) return second;
    NoSink none;
    known->frames = first.shape.frames;
    const ClipFormat f =
        ClipAssembly(*known, o.generate.request.known, target, none).format(first.shape);
    const Request& r = o.generate.request;
    ZT_ASSIGN_OR_RETURN(second.plans_, second.models_->plan(
                                           {f.width, f.height, f.frames, f.fps, r.prompt, r.seed}));
    return second;
  }
  const std::vector<LaterPlan>& get() const { return plans_; }

 private:
  std::unique_ptr<LaterModels> models_;  // own what the plans point to
  std::vector<LaterPlan> plans_;
};

std::string text_of(const RequestPlan& plan, bool calls) {
  std::string text = request_plan_to_text(plan, calls) + "\n" + cells_to_text(job_cells(plan));
  for (const auto& [device, bytes] : peaks_by_device(plan))
    text += str("at most ", format_bytes(static_cast<double>(bytes)), " on ", device, "\n");
  return text;
}

std::string text_of_all(const RequestPlan& first, const std::vector<LaterPlan>& later, bool calls) {
  std::string text = text_of(first, calls);
  if (later.empty()) return text;
  for (const LaterPlan& next : later)
    text += str("\nthen ", next.title, ": ", text_of(next.plan, calls));
  text += str(later.size() == 1 ? "\nboth" : "\nall", ": at most ",
              format_bytes(static_cast<double>(all_peak_bytes(first, later))));
  if (const double seconds = all_seconds(first, later); seconds > 0)
    text += str(", about ", format_seconds(seconds));
  return text + "\n";
}

nlohmann::json json_of_all(const RequestPlan& first, const std::vector<LaterPlan>& later,
                           bool calls) {
  auto json = nlohmann::json::parse(request_plan_to_json(first, calls));
  if (later.empty()) return json;
  bool calibrated = first.calibrated();
  for (const LaterPlan& next : later) {
    json[next.name] = nlohmann::json::parse(request_plan_to_json(next.plan, calls));
    calibrated = calibrated && next.plan.calibrated();
  }
  json["peak_bytes"] = all_peak_bytes(first, later);
  json["estimated_seconds"] = all_seconds(first, later);
  json["calibrated"] = calibrated;
  return json;
}

Status run_plan(Options& o) {
  ZT_RETURN_IF_ERROR(o.generate.finish());
  OutputFiles files;
  files.read(o.generate.model);
  for (const std::string& input : o.known.paths()) files.read(input);
  ZT_RETURN_IF_ERROR(files.write("--html", o.html));
  ZT_ASSIGN_OR_RETURN(const OutputClaim claim, files.claim());
  Request& request = o.generate.request;
  ZT_ASSIGN_OR_RETURN(const auto engine,
                      o.generate.open_engine(/*keep_sessions=*/false, /*for_planning=*/!o.measure));
  if (!o.component.empty()) return plan_component(o, *engine);
  const Recipe& recipe = engine->model().recipe;
  ZT_ASSIGN_OR_RETURN(const MediaTarget target, media_target(recipe, o.known, &request.clip));
  ZT_ASSIGN_OR_RETURN(KnownFiles known, read_known_files(o.known, target));
  ZT_RETURN_IF_ERROR(give_known(recipe, o.known, &known, &request));
  if (!o.compare.empty() || !o.devices.empty()) return compare(o);
  ZT_ASSIGN_OR_RETURN(const RequestPlan plan, plan_request(o, *engine));
  ZT_ASSIGN_OR_RETURN(const LaterPlans later, LaterPlans::make(o, recipe, plan, &known, target));
  if (!o.html.empty())
    ZT_RETURN_IF_ERROR(plan_page(engine->model(), plan, request.memory_budget).write(o.html));
  std::string text;
  if (o.json) {
    auto json = json_of_all(plan, later.get(), o.calls);
    if (o.measure) {
      ZT_ASSIGN_OR_RETURN(const Measured measured, run_request(o, *engine));
      json["measured"] = measured_to_json(measured);
    }
    text = json.dump(2) + "\n";
  } else {
    text = text_of_all(plan, later.get(), o.calls);
    if (o.measure) {
      ZT_ASSIGN_OR_RETURN(const Measured measured, run_request(o, *engine));
      text += "\n" + cells_to_text(measured_cells(plan, measured));
    }
  }
  std::fputs(text.c_str(), stdout);
  return Status();
}

}  // namespace

void add_plan(CLI::App* root, Run* run) {
  auto options = std::make_shared<Options>();
  CLI::App* app =
      root->add_subcommand("plan", "Say what a clip would take, without running anything");
  app->footer(
      "Examples:\n"
      "  zoetrope plan --width 160 --height 96 --seconds 4 --memory 500M\n"
      "  zoetrope plan \"a red ball\" --compare 40M,80M,1GiB --html "
      "plan.html\n"
      "  zoetrope plan --devices cpu,cuda:0,vulkan:0\n"
      "  zoetrope plan --image first.png --extend clip.mp4 --place decode=cpu\n"
      "  zoetrope plan --component NAME --set batch=1 --set frames=4 ... --calls");
  app->add_option("prompt", options->generate.request.prompt, "As in generate: its length counts");
  options->generate.add_to(app);
  const size_t others = app->get_options().size();
  options->known.add_to(app);
  options->upsample.add_to(app);
  options->sound.add_to(app);
  const std::vector<CLI::Option*> all = app->get_options();
  CLI::Option* const component = app->add_option("--component", options->component,
                                                 "Plan one component, with its symbols from --set");
  app->add_option("--set", options->bindings, "NAME=INTEGER: a symbol of the component")
      ->needs(component);
  for (size_t i = others; i < all.size(); ++i) component->excludes(all[i]);
  CLI::Option* const calls =
      app->add_flag("--calls", options->calls, "List every kernel call with its offsets");
  CLI::Option* const compare =
      app->add_option("--compare", options->compare,
                      "Budgets between commas, such as 8GiB,12GiB,24GiB: one table of the same "
                      "request within each")
          ->delimiter(',');
  CLI::Option* const devices =
      app->add_option("--devices", options->devices,
                      "Devices between commas: one table of the same request on each")
          ->delimiter(',');
  CLI::Option* const html = app->add_option(
      "--html", options->html,
      "Write a page as well: memory over the schedule by owner, time by phase and kernel");
  CLI::Option* const calibrate = app->add_flag(
      "--calibrate", options->calibrate,
      "Measure this request's own kernels first, for a minute a device at most. Without, times "
      "come "
      "from `zoetrope calibrate`, or from a few seconds of it on first use at a terminal");
  CLI::Option* const measure = app->add_flag(
      "--measure", options->measure,
      "Run it as well, writing nothing, and show what was predicted beside what was measured");
  std::string passes = "all";
  for (std::string_view name : pass_names()) passes += str(", ", name);
  CLI::Option* const dump = app->add_option("--dump-after", options->dump_after,
                                            "Print the graph after a pass: " + passes);
  for (CLI::Option* table : {compare, devices})
    for (CLI::Option* one : {component, calls, calibrate, measure, dump}) table->excludes(one);
  for (CLI::Option* whole : {html, calibrate, measure}) whole->excludes(component);
  for (const char* second : {"--upsample", "--sound"})
    for (CLI::Option* one : {component, compare, devices, html, measure, calibrate})
      app->get_option(second)->excludes(one);
  app->add_flag("--json", options->json, "Print JSON");
  app->callback([=] { *run = [=] { return run_plan(*options); }; });
}

}  // namespace zoetrope
