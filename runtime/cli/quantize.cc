#include "runtime/cli/command.h"
#include "runtime/cli/output_files.h"
#include "runtime/cli/progress.h"
#include "runtime/cli/prompt_flags.h"
#include "runtime/quantize/quantize_file.h"

namespace zoetrope {
namespace {

struct Options {
  QuantizeFileOptions file;
  std::string prompts, calibration, measure = "clips", page, seed;
  DeviceFlags device;
  bool quiet = false;
};

Status run_quantize(const Options& o) {
  QuantizeFileOptions file = o.file;
  ZT_ASSIGN_OR_RETURN(file.model, find_model(file.model));
  if (o.measure != "clips" && o.measure != "weights")
    return error(Code::kInvalidArgument, "--measure ", o.measure, ": expected clips or weights");
  file.measure_clips = o.measure == "clips";
  if (!o.prompts.empty()) {
    ZT_ASSIGN_OR_RETURN(file.prompts, read_prompts(o.prompts, "--prompts"));
  }
  if (!o.calibration.empty()) {
    if (o.prompts == "-" && o.calibration == "-")
      return error(Code::kInvalidArgument, "--prompts and --calibrate cannot both be -");
    ZT_ASSIGN_OR_RETURN(file.calibration, read_prompts(o.calibration, "--calibrate"));
  }
  if (!o.seed.empty()) {
    bool drawn = false;
    ZT_ASSIGN_OR_RETURN(file.seed, parse_seed(o.seed, &drawn));
  }
  file.engine.devices = o.device.options();
  file.engine.placement.device = o.device.device;
  ProgressBar bar(o.quiet);
  QuantizeFileHooks hooks;
  hooks.progress = [&](std::string_view task, double done, double total) {
    bar.update(task, done, total);
    return !interrupted();
  };
  hooks.notice = [&](const std::string& text) { bar.message(text); };
  hooks.report = [&](const QuantizeReport& report, const std::string& model) -> Status {
    bar.end();
    if (!o.quiet) std::fputs(report_to_text(report).c_str(), stderr);
    return o.page.empty() ? Status() : report_page(report, model).write(o.page);
  };
  OutputFiles files;
  for (const std::string& input : {file.model, o.prompts, o.calibration}) files.read(input);
  ZT_RETURN_IF_ERROR(files.write("-o", file.output));
  ZT_RETURN_IF_ERROR(files.write("--page", o.page));
  ZT_ASSIGN_OR_RETURN(const OutputClaim claim, files.claim());
  ZT_RETURN_IF_ERROR(quantize_file(file, hooks));
  bar.end();
  return Status();
}

void add_measure_flags(CLI::App* app, Options* o) {
  app->add_option("--prompts", o->prompts,
                  "Prompts (or classes) to compare clips of, one a line; left out, two of ours");
  app->add_option(
      "--calibrate", o->calibration,
      "Others, which int4's rounding and targets (by the first four) are fitted to: the "
      "report's own would flatter; left out, 32 more of ours or classes, four for targets alone. "
      "What the model "
      "is for, in many words, fits it best");
  app->add_flag("--nearest", o->file.nearest,
                "int4: round each weight to the nearest, not so that errors make up for each other "
                "in the calibration's clips");
  app->add_flag(
      "--rotate", o->file.rotate,
      "int8: turn rows and weights by a Hadamard matrix before they are rounded, in blocks "
      "of 8: less is lost, a step takes slightly longer");
  app->add_option(
         "--attention-bits", o->file.attention_bits,
         "8: attention of every step may multiply 8-bit numbers, where a device has such "
         "kernels (CUDA on compute capability 9.0; processors with AVX-512 VNNI or AMX) and it "
         "pays; else exactly")
      ->check(CLI::IsMember({0, 8}));
  app->add_option("--measure", o->measure,
                  "clips: both models make clips from equal seeds; weights: their errors alone")
      ->capture_default_str();
  app->add_option("--steps", o->file.steps,
                  "Denoising steps of those clips and of the calibration's; left out, the model's "
                  "own, for int4's rounding 7 where it can take so few")
      ->check(whole_in(0, 10000));
  app->add_option("--width", o->file.clip.width, "Their width; the model's own")
      ->check(whole_in(0));
  app->add_option("--height", o->file.clip.height, "Their height")->check(whole_in(0));
  app->add_option("--frames", o->file.clip.frames, "Their frames")->check(whole_in(0));
  app->add_option("--seed", o->seed, "The first compared clip's seed, 1; later ones follow");
  app->add_option("--compute", o->file.compute, "f32 (where left out), bf16 or f16")
      ->check(CLI::IsMember({"f32", "bf16", "f16"}));
  o->device.add_to(app);
  app->add_option("--target-psnr", o->file.targets.psnr,
                  "Give more bits to the layers that need them until the "
                  "calibration's clips reach this, in decibels; the report's must too")
      ->check(number_in(0, 200));
  app->add_option("--target-size", o->file.targets.size,
                  "The same, as far as the tensors take at most this share of the original's bytes")
      ->check(number_in(0, 1));
  app->add_option("--judge", o->file.judge,
                  "A command that judges a folder of clips, {} in it, and prints rates as JSON");
  app->add_option("--max-loss", o->file.max_loss,
                  "Gate: the loss against the original, of 1; 0 asks for nothing; 0.05 where clips "
                  "are compared")
      ->check(number_in(0, 1e6));
  app->add_option(
         "--max-attention-loss", o->file.max_attention_loss,
         "Gate: the same of attention in 8 bits alone; left out, 0.02 where it is measured")
      ->check(number_in(0, 1e6));
  app->add_option("--min-psnr", o->file.min_psnr, "Gate: the clips' PSNR in decibels")
      ->check(number_in(0, 200));
  app->add_option("--max-drop", o->file.max_drop, "Gate: what any rate may fall by, of 1")
      ->check(number_in(0, 1));
  app->add_option("--page", o->page, "Also write the report as an HTML page");
  app->add_flag("--force", o->file.force,
                "Write the file although the gate fails, and record that");
}

}  // namespace

void add_quantize(CLI::App* root, Run* run) {
  auto options = std::make_shared<Options>();
  CLI::App* app = root->add_subcommand("quantize", "Store a model's weights in fewer bits");
  app->footer(
      "Examples:\n"
      "  zoetrope quantize model.zoe -o model-int8.zoe\n"
      "  zoetrope quantize model.zoe -o model-int4.zoe --format int4 --group 32 --page int4.html\n"
      "  zoetrope quantize model.zoe -o model-int8.zoe --components transformer "
      "--keep '*.modulation,final_layer'");
  app->add_option("model", options->file.model, "A .zoe file; left out, the embedded one");
  app->add_option("-o,--output", options->file.output, "Where to write the .zoe file")->required();
  app->add_option("--format", options->file.format,
                  "int8 or fp8: products of 8-bit weights and activations; int4: weights in "
                  "groups; bf16, f16: storage")
      ->capture_default_str();
  app->add_option("--group", options->file.group,
                  "Of int4: weights that share a factor, 32, 64 (the default) or 128")
      ->check(whole_in(1));
  app->add_option("--components", options->file.components, "Only these components")
      ->delimiter(',');
  app->add_option("--keep", options->file.keep,
                  "Weights that stay as they are: names or patterns with * and ?")
      ->delimiter(',');
  add_measure_flags(app, options.get());
  app->add_flag("-q,--quiet", options->quiet, "No progress, no summary");
  app->callback([=] {
    options->file.said = said_options(*app);
    *run = [=] { return run_quantize(*options); };
  });
}

}  // namespace zoetrope
