// Measures ops, networks and pipelines, device against device and against libraries and baselines.
#include "bench/bench.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "bench/peer_module.h"
#include "bench/show.h"
#include "graph/format/output_file.h"
#include "runtime/cli/command.h"
#include "runtime/cli/generate_flags.h"
#include "runtime/cli/output_files.h"
#include "runtime/cli/progress.h"
#include "runtime/cli/prompt_flags.h"

namespace zoetrope {
namespace {

struct Options {
  bench::BenchOptions bench;
  std::vector<std::string> kinds, models, dtypes, peers, set, beside;
  std::string csv, json, html, baseline, from, memory, prompt;
  double tolerance = 5;  // percent
  ClipRequest clip;
  int steps = 0;
  int64_t count = 1;
  bool list = false, quiet = false;
  CLI::Option* attention = nullptr;
  std::vector<CLI::Option*> of_pipelines;
  std::vector<CLI::Option*> measuring;  // what --from, which measures nothing, would not heed
};

// What makes it again: the command line, as a shell takes it.
std::string command_line() {
  std::string text;
  std::FILE* const file = std::fopen("/proc/self/cmdline", "rb");
  if (file == nullptr) return text;
  std::string argument;
  for (int c; (c = std::fgetc(file)) != EOF;) {
    if (c != 0) {
      argument += static_cast<char>(c);
      continue;
    }
    if (text.empty()) argument = std::filesystem::path(argument).filename().string();
    const bool plain =
        !argument.empty() && argument.find_first_not_of(
                                 "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                 "-_./,=:+@%") == std::string::npos;
    std::string quoted = "'";
    for (const char ch : argument) quoted += ch == '\'' ? std::string("'\\''") : std::string(1, ch);
    text += str(text.empty() ? "" : " ", plain ? argument : quoted + "'");
    argument.clear();
  }
  std::fclose(file);
  return text;
}

Status read_flags(Options* o) {
  bench::BenchOptions& b = o->bench;
  for (const std::string& kind : o->kinds)
    (kind == "ops" ? b.ops : kind == "model" ? b.models : b.pipelines) = true;
  for (const std::string& text : o->dtypes) {
    ZT_ASSIGN_OR_RETURN(const DType dtype, parse_dtype(text));
    if (dtype != DType::kF32 && dtype != DType::kF16 && dtype != DType::kBF16 &&
        dtype != DType::kI8 && dtype != DType::kF8E4M3)
      return error(Code::kInvalidArgument, "--dtypes ", text,
                   ": expected f32, bf16, f16, i8 or f8e4m3");
    b.dtypes.push_back(dtype);
  }
  ZT_RETURN_IF_ERROR(parse_bindings(o->set, &b.set));
  if (!o->memory.empty()) {
    ZT_ASSIGN_OR_RETURN(b.budget, parse_bytes(o->memory));
  }
  if (!b.device.force_target.empty() && b.devices.size() != 1)
    return error(Code::kInvalidArgument, "--target restricts one device: name it with --devices");
  // Files are pipelines, names are networks.
  std::vector<std::string> files;
  std::error_code ec;
  for (const std::string& model : o->models) {
    const bool file = model.ends_with(".zoe") || std::filesystem::exists(model, ec);
    (file ? files : b.networks).push_back(model);
  }
  const bool all = !b.ops && !b.models && !b.pipelines;
  if (files.empty() && (b.pipelines || (all && b.networks.empty()))) {
    if (!b.networks.empty())
      return error(Code::kInvalidArgument, "pipelines are timed from model files; make one of '",
                   b.networks[0], "' with: zoetrope convert synthetic:", b.networks[0],
                   " -o model.zoe");
    ZT_ASSIGN_OR_RETURN(const std::string model, find_model(""));
    files.push_back(model);
  }
  if (all && !o->models.empty()) {
    b.ops = b.models = !b.networks.empty();
    b.pipelines = !files.empty();
  }
  const bool ops = b.ops || all, networks = b.models || all, pipelines = b.pipelines || all;
  const bool pipeline_flags =
      std::any_of(o->of_pipelines.begin(), o->of_pipelines.end(),
                  [](const CLI::Option* option) { return option->count() > 0; });
  if (!files.empty() && !pipelines)
    return error(Code::kInvalidArgument, "--models ", files[0],
                 " is a pipeline, which is not asked for");
  if (pipeline_flags && !pipelines)
    return error(Code::kInvalidArgument,
                 "--prompt, --steps, --width, --height, --frames and --count are of pipelines");
  if (b.budget > 0 && !networks && !pipelines)
    return error(Code::kInvalidArgument, "--memory is of networks and pipelines");
  const bool narrow = std::any_of(b.dtypes.begin(), b.dtypes.end(),
                                  [](DType dtype) { return dtype != DType::kF32; });
  if (o->attention->count() > 0 && (!networks || !narrow))
    return error(Code::kInvalidArgument,
                 "--attention-bits is of networks in fewer than 32 bits (--dtypes)");
  if (!ops && !networks && (!b.set.empty() || !b.tokens.empty()))
    return error(Code::kInvalidArgument, "--set and --tokens are of ops and networks");
  for (const std::string& file : files) {
    bench::PipelineCase request;
    request.path = file;
    request.prompt = o->prompt;
    request.count = o->count;
    request.clip = o->clip;
    request.steps = o->steps;
    b.requests.push_back(std::move(request));
  }
  if (o->peers.empty()) {
    if (bench::find_peer("onednn").ok()) b.peers.push_back("onednn");
  } else if (o->peers != std::vector<std::string>{"none"}) {
    b.peers = o->peers;
  }
  return Status();
}

Status write_outputs(const Options& o, const bench::Shown& shown) {
  bool stdout_taken = false;
  for (const std::string* path : {&o.csv, &o.json, &o.html}) stdout_taken |= *path == "-";
  if (!o.json.empty()) ZT_RETURN_IF_ERROR(write_text(o.json, report_to_json(*shown.report)));
  if (!o.csv.empty()) ZT_RETURN_IF_ERROR(write_text(o.csv, report_to_csv(*shown.report)));
  if (!o.html.empty()) ZT_RETURN_IF_ERROR(to_page(shown).write(o.html));
  if (!stdout_taken && !o.quiet) std::fputs(printable(to_table(shown)).c_str(), stdout);
  return Status();
}

// A row is slower only when it stays so: what looks slower is measured twice more.
bench::Comparison compare_with(const bench::Report& baseline, double tolerance, bench::Bench* bench,
                               bench::Report* report) {
  constexpr int kMore = 2;
  bench::Comparison comparison = compare_reports(baseline, *report, tolerance);
  for (int i = 0; i < kMore && bench != nullptr && comparison.slower > 0 && report->complete; ++i) {
    std::vector<const bench::Row*> slower;
    for (const bench::Difference& d : comparison.rows)
      if (d.change == bench::Change::kSlower) slower.push_back(d.now);
    bench->measure_again(slower, report);
    comparison = compare_reports(baseline, *report, tolerance);
  }
  return comparison;
}

// What --from and --list would not heed.
Status check_modes(const Options& o) {
  if (o.list && !o.baseline.empty())
    return error(Code::kInvalidArgument, "--list measures nothing that --compare could look at");
  if (!o.from.empty() && std::any_of(o.measuring.begin(), o.measuring.end(),
                                     [](const CLI::Option* option) { return option->count() > 0; }))
    return error(
        Code::kInvalidArgument,
        "--from shows what was measured: give it with output flags, --compare and --beside "
        "alone");
  return Status();
}

Status run_bench(Options& o) {
  ZT_RETURN_IF_ERROR(check_modes(o));
  OutputFiles files;
  for (const std::string& model : o.models) files.read(model);
  for (const auto& [flag, path] :
       {std::pair{"--csv", &o.csv}, {"--json", &o.json}, {"--html", &o.html}})
    ZT_RETURN_IF_ERROR(files.write(flag, *path));
  ZT_ASSIGN_OR_RETURN(const OutputClaim claim, files.claim());
  // What is read, before anything takes time.
  std::optional<bench::Report> baseline;
  if (!o.baseline.empty()) {
    ZT_ASSIGN_OR_RETURN(baseline, bench::read_report(o.baseline));
  }
  std::vector<bench::Report> others;
  for (const std::string& path : o.beside) {
    ZT_ASSIGN_OR_RETURN(bench::Report other, bench::read_report(path));
    others.push_back(std::move(other));
  }
  bench::Report report;
  std::unique_ptr<bench::Bench> bench;
  ProgressBar progress(o.quiet);
  if (!o.from.empty()) {
    ZT_ASSIGN_OR_RETURN(report, bench::read_report(o.from));
  } else {
    ZT_RETURN_IF_ERROR(read_flags(&o));
    o.bench.stop = interrupted;
    o.bench.progress = [&](const std::string&, size_t done, size_t total) {
      progress.update("bench", static_cast<double>(done), static_cast<double>(total));
    };
    ZT_ASSIGN_OR_RETURN(bench, bench::Bench::create(o.bench));
    report = o.list ? bench->list() : bench->measure();
    report.version = ZOETROPE_VERSION;
    report.command = command_line();
  }
  bench::Shown shown{&report, {}, nullptr, nullptr, o.tolerance / 100};
  for (const bench::Report& other : others) shown.beside.push_back(&other);
  bench::Comparison comparison;
  if (baseline.has_value() && !o.list) {
    comparison = compare_with(*baseline, o.tolerance / 100, bench.get(), &report);
    shown.baseline = &*baseline;
    shown.comparison = &comparison;
  }
  progress.end();
  ZT_RETURN_IF_ERROR(write_outputs(o, shown));
  if (!report.complete && o.from.empty())
    return error(Code::kCancelled, "what was measured until then is shown and written");
  if (comparison.slower > 0)
    return error(Code::kDiffers, comparison.slower, " of ", comparison.rows.size(),
                 " rows are slower than in ", o.baseline);
  return Status();
}

void add_pipeline_flags(Options* o, CLI::App* app) {
  app->add_option("--prompt", o->prompt, "Of pipelines that read text");
  app->add_option("--steps", o->steps, "Of a pipeline's denoising; 0: the model's own")
      ->check(whole_in(0, 10000));
  app->add_option("--width", o->clip.width, "Of a pipeline's clip or picture, in pixels")
      ->check(whole_in(0));
  app->add_option("--height", o->clip.height)->check(whole_in(0));
  app->add_option("--frames", o->clip.frames)->check(whole_in(0));
  app->add_option("--count", o->count, "Pictures a request, of models of classes")
      ->check(whole_in(1, 1000));
}

void add_output_flags(Options* o, CLI::App* app) {
  app->add_option("--csv", o->csv, "Write every row as CSV; - is standard output");
  app->add_option("--json", o->json, "Write everything as JSON (bench/README.md has the schema)");
  app->add_option("--html", o->html, "Write one page that stands alone: rooflines, bars, curves");
  app->add_option(
      "--compare", o->baseline,
      "Compare with the JSON of an earlier run; rows that look slower are measured twice "
      "more, and exit code 6 says that some stay slower");
  app->add_option("--tolerance", o->tolerance, "Percent that a median may rise")
      ->check(number_in(0, 1000))
      ->capture_default_str()
      ->needs("--compare");
  app->add_option("--beside", o->beside, "JSON of peers (bench/peers) or of other machines to show")
      ->delimiter(',');
  app->add_option("--from", o->from, "Measure nothing: show the JSON of an earlier run");
}

}  // namespace

void add_bench(CLI::App* root, Run* run) {
  auto o = std::make_shared<Options>();
  bench::BenchOptions& b = o->bench;
  CLI::App* app =
      root->add_subcommand("bench", "Measure ops, networks and pipelines, device against device");
  app->footer(
      "Examples:\n"
      "  zoetrope bench --quick                                  all three kinds, in seconds\n"
      "  zoetrope bench ops --devices cpu --dtypes f32,bf16 --filter matmul --json ops.json\n"
      "  zoetrope bench model --tokens 512,1024,2048 --html page.html\n"
      "  zoetrope bench model --dtypes bf16,i8                   products of 8 bits beside bf16\n"
      "  zoetrope bench pipeline --models model.zoe --devices cuda,vulkan --dtypes bf16\n"
      "  zoetrope bench ops --quick --compare ops.json           exit code 6: something is slower\n"
      "  zoetrope bench --from ops.json --beside torch.json --html page.html\n"
      "Runs of one case are interleaved; medians stand with the 10th and 90th percentile. \"Of "
      "roof\"\n"
      "is the least time that a copy and a large product, measured beside the case, would allow,\n"
      "over the time taken.");
  app->add_option("kinds", o->kinds, "ops, model, pipeline; none: all")
      ->check(CLI::IsMember({"ops", "model", "pipeline"}));
  app->add_option("--models", o->models,
                  "Built-in networks (their ops and a step of them, with noise for weights), "
                  "NAME:COMPONENT, or model files (pipelines)")
      ->delimiter(',');
  app->add_option("--devices", b.devices, "As in generate; left out: all that are no software")
      ->delimiter(',');
  app->add_option("--dtypes", o->dtypes,
                  "f32, bf16, f16, and i8, f8e4m3: of ops, and of networks quantised so")
      ->delimiter(',');
  o->attention = app->add_option("--attention-bits", b.attention_bits,
                                 "8: networks in fewer than 32 bits also with attention in 8 bits");
  o->attention->check(CLI::IsMember({0, 8}));
  app->add_option("--tokens", b.tokens, "Lengths of sequences: sizes of networks, and the curves")
      ->delimiter(',')
      ->check(whole_in(1, 1 << 24));
  app->add_option("--set", o->set, "NAME=INTEGER: a symbol of the networks");
  app->add_option("--filter", b.filters, "Only cases whose name contains one of these")
      ->delimiter(',');
  app->add_flag("--quick", b.quick, "Small shapes and three rounds: seconds in all");
  app->add_flag("--list", o->list, "List the cases and measure nothing");
  app->add_option("--memory", o->memory, "Budget on each device: weights are streamed to keep it");
  app->add_option("--limit", b.limit, "Seconds: skip what one call would take longer for; 0: none")
      ->check(number_in(0, 1e6));
  app->add_option("--rounds", b.rounds, "Samples of each row, at most")->check(whole_in(1, 1000));
  app->add_option("--seconds", b.seconds, "That a row may take beyond three samples")
      ->check(number_in(0, 1e6));
  app->add_option("--peers", o->peers, "Libraries in this process (onednn), or none")
      ->delimiter(',');
  app->add_option("--threads", b.device.threads, "CPU threads; 0: all allowed")
      ->check(whole_in(0, 1024));
  app->add_option("--target", b.device.force_target,
                  "Restrict what the device uses, as in generate");
  const size_t shared = app->get_options().size();
  add_pipeline_flags(o.get(), app);
  const auto all = app->get_options();
  o->of_pipelines.assign(all.begin() + static_cast<std::ptrdiff_t>(shared), all.end());
  for (CLI::Option* option : app->get_options())
    if (option != app->get_help_ptr()) o->measuring.push_back(option);
  add_output_flags(o.get(), app);
  app->add_flag("-q,--quiet", o->quiet, "No table and no progress");
  app->callback([=] { *run = [=] { return run_bench(*o); }; });
}

}  // namespace zoetrope
