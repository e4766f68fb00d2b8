#include <algorithm>
#include <cmath>
#include <cstdio>

#include "runtime/cli/generate_flags.h"
#include "runtime/cli/known_files.h"
#include "runtime/cli/output_files.h"
#include "runtime/cli/progress.h"
#include "runtime/cli/prompt_flags.h"
#include "runtime/cli/receipt_flags.h"
#include "runtime/cli/run_file.h"
#include "runtime/verify/verify.h"

namespace zoetrope {
namespace {

struct Options {
  GenerateFlags generate;
  KnownFlags known;
  std::string model, prompt = "a small red ball bounces on a blue floor", negative, seed = "0";
  std::vector<std::string> devices;
  std::string against = "reference", save, html, receipt, calls = "4";
  int64_t parts = 8;
  double min_psnr = -1, min_snr = -1;
  bool whole = false, no_nodes = false, json = false, quiet = false;
  CLI::Option *device_option = nullptr, *steps_option = nullptr;
  std::vector<CLI::Option*> where;  // --device, --place and --target
};

Status read_against(const Options& o, VerifyOptions* v) {
  if (o.against == "reference") return Status();
  if (o.against == "cpu") {
    v->by_cpu = true;
    if (std::none_of(v->devices.begin(), v->devices.end(),
                     [](const std::string& d) { return d == "cpu" || d == "cpu:0"; }))
      v->devices.insert(v->devices.begin(), "cpu");
    return Status();
  }
  auto run = load_run(o.against);
  if (!run.ok()) return run.status().with_context("--against");
  v->baseline = std::make_shared<const RunResult>(std::move(*run));
  v->baseline_name = o.against;
  return Status();
}

Status finish(const Options& o, const VerifyReport& report, const VerifyOptions& v) {
  if (!o.html.empty()) ZT_RETURN_IF_ERROR(write_verify_page(report, v.baseline.get(), o.html));
  if (!o.save.empty()) ZT_RETURN_IF_ERROR(save_run(report.devices.front().run, o.save));
  const std::string text =
      o.json ? verify_report_to_json(report) + "\n" : verify_report_to_text(report);
  if (o.json || !o.quiet) std::fputs(printable(text).c_str(), stdout);
  return verdict(report);
}

Status give_media(Options& o) {
  GenerateFlags flags = o.generate;
  ZT_ASSIGN_OR_RETURN(const auto engine, flags.open_engine(false));
  const Recipe& recipe = engine->model().recipe;
  Request& request = o.generate.request;
  ZT_ASSIGN_OR_RETURN(const MediaTarget target, media_target(recipe, o.known, &request.clip));
  ZT_ASSIGN_OR_RETURN(KnownFiles known, read_known_files(o.known, target));
  ZT_RETURN_IF_ERROR(give_known(recipe, o.known, &known, &request));
  if (request.steps == 0) {  // enough to see differences grow
    ZT_ASSIGN_OR_RETURN(const RequestPlan plan, engine->plan(request));
    request.steps = std::min(plan.denoise.steps, 4);
  }
  return Status();
}

Status run_verify(Options& o) {
  if (!o.model.empty()) o.generate.model = o.model;
  ProgressBar bar(o.quiet || o.json);
  RunHooks hooks;
  hooks.progress = [&](std::string_view task, double done, double total) {
    bar.update(task, done, total);
    return !interrupted();
  };
  if (!o.receipt.empty()) {
    const bool moved = std::any_of(o.where.begin(), o.where.end(),
                                   [](const CLI::Option* option) { return option->count() > 0; });
    ZT_ASSIGN_OR_RETURN(const ReceiptComparison compared,
                        rerun_receipt(o.receipt, o.generate, moved, hooks));
    bar.end();
    if (!o.quiet || o.json) std::fputs(printable(compared.text).c_str(), stdout);
    return compared.same
               ? Status()
               : error(Code::kDiffers, o.receipt, ": this run is not the one of the receipt");
  }
  ZT_RETURN_IF_ERROR(o.generate.finish());
  OutputFiles files;
  files.read(o.generate.model);
  ZT_RETURN_IF_ERROR(files.write("--html", o.html));
  ZT_RETURN_IF_ERROR(files.write("--save", o.save));
  ZT_ASSIGN_OR_RETURN(const OutputClaim claim, files.claim());
  bool drawn = false;
  ZT_ASSIGN_OR_RETURN(o.generate.request.seed, parse_seed(o.seed, &drawn));
  ZT_ASSIGN_OR_RETURN(o.generate.request.prompt, read_prompt(o.prompt));
  ZT_ASSIGN_OR_RETURN(o.generate.request.negative, read_prompt(o.negative));
  VerifyOptions v;
  v.devices = !o.devices.empty()             ? o.devices
              : o.device_option->count() > 0 ? std::vector{o.generate.device.device}
                                             : devices_to_verify(o.generate.device.options());
  ZT_RETURN_IF_ERROR(read_against(o, &v));
  o.generate.device.device = v.devices.front();
  ZT_RETURN_IF_ERROR(give_media(o));
  v.request = o.generate.request;
  v.judge_nodes = !o.no_nodes;
  v.parts.count = o.parts;
  if (o.whole) v.parts.whole_flops = INFINITY;
  v.calls = o.calls == "all" ? 0 : std::stoll(o.calls);  // checked where it was parsed
  v.least_psnr = o.min_psnr;
  v.least_snr = o.min_snr;
  const MakeEngine make_engine = [&](const std::string& device) {
    GenerateFlags flags = o.generate;
    flags.device.device = device;
    auto engine = flags.open_engine(/*keep_sessions=*/false);
    v.request.weights = flags.request.weights;
    return engine;
  };
  ZT_ASSIGN_OR_RETURN(const VerifyReport report, verify_devices(v, make_engine, hooks));
  bar.end();
  return finish(o, report, v);
}

}  // namespace

void add_verify(CLI::App* root, Run* run) {
  auto options = std::make_shared<Options>();
  Options& o = *options;
  CLI::App* app = root->add_subcommand(
      "verify",
      "Run one request on several devices and say where they do not do what the model says");
  app->footer(
      "Every kernel call is judged where it runs: by its op's definition in double on the bytes "
      "that\n"
      "it read (or by the CPU's kernel), by running it again over other garbage, and by whether "
      "what\n"
      "it reads is still what was written. Of equal kernels some calls, of large calls some rows,\n"
      "columns and windows are judged: --calls and --whole change that. Exit code 6: results "
      "differ.\n\n"
      "Examples:\n"
      "  zoetrope verify --devices cpu,vulkan:0,cuda:0 --html verify.html\n"
      "  zoetrope verify model.zoe --devices cuda:0 --compute bf16 --against cpu --json\n"
      "  zoetrope verify --devices cuda:0 --save before.safetensors      before a driver's update\n"
      "  zoetrope verify --devices cuda:0 --against before.safetensors   after it\n"
      "  zoetrope verify --receipt clip.mp4                               made again, bit for "
      "bit?");
  app->add_option("model_file", o.model, "A .zoe model file; left out, the embedded one");
  app->add_option("--devices", o.devices,
                  "Devices as --device names them, between commas; left out, all of this machine. "
                  "Values and clips are compared with the first one's")
      ->delimiter(',');
  app->add_option("--against", o.against,
                  "What judges: reference, the ops' definitions in double; cpu, the CPU's kernels, "
                  "every element; or a file of --save, which values and clips are compared with")
      ->capture_default_str();
  app->add_option("--prompt", o.prompt, "The request, as in generate")->capture_default_str();
  app->add_option("--negative", o.negative, "What to steer away from");
  app->add_option("--seed", o.seed, "As in generate")->capture_default_str();
  app->add_option("--calls", o.calls,
                  "Judge so many calls of each kernel that a plan has several of, or all")
      ->check(CLI::Validator(
          [number = whole_in(1)](std::string& text) {
            return text == "all" ? std::string() : number(text);
          },
          "1 or more, or all"))
      ->capture_default_str();
  app->add_option("--parts", o.parts,
                  "Of a call that is too large for its definition, judge so many boxes of the "
                  "output: its beginning, its end, and others anywhere")
      ->check(whole_in(1, 1 << 20))
      ->capture_default_str();
  app->add_flag("--whole", o.whole, "Judge every element, however long it takes");
  app->add_flag("--no-nodes", o.no_nodes, "Compare values and clips alone");
  app->add_option("--min-psnr", o.min_psnr,
                  "Least PSNR of the frames in dB; left out, 45 in f32 and 25 in bf16 and f16")
      ->check(number_in(0, 200));
  app->add_option("--min-snr", o.min_snr,
                  "Least SNR of the sound in dB; left out, 40 in f32 and 15 in bf16 and f16")
      ->check(number_in(0, 200));
  app->add_option("--save", o.save, "Write what the first device made (.safetensors)");
  app->add_option("--html", o.html, "Write the report as one HTML page");
  app->add_option("--receipt", o.receipt,
                  "Make a clip again from its receipt, in the clip or beside it, and say where it "
                  "first differs; --device takes another device than the receipt's");
  app->add_flag("--json", o.json, "Print the report as JSON");
  app->add_flag("-q,--quiet", o.quiet, "Print nothing but errors");
  o.known.add_to(app);
  o.generate.add_to(app);
  o.device_option = app->get_option("--device");
  for (const char* name : {"--device", "--place", "--target"})
    o.where.push_back(app->get_option(name));
  // A receipt brings its own request, and a comparison of its own.
  const std::vector<std::string> heeded{"--help",   "--receipt", "--device", "--place",
                                        "--target", "--threads", "--quiet",  "--model_file"};
  CLI::Option* const receipt = app->get_option("--receipt");
  for (CLI::Option* option : app->get_options())
    if (option->nonpositional() && std::none_of(heeded.begin(), heeded.end(), [&](const auto& n) {
          return option->check_name(n);
        }))
      receipt->excludes(option);
  app->callback([=] { *run = [=] { return run_verify(*options); }; });
}

}  // namespace zoetrope
