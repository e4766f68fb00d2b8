#include <filesystem>
#include <fstream>

#include "graph/format/output_file.h"
#include "runtime/cli/command.h"
#include "runtime/cli/progress.h"
#include "runtime/plan/planner.h"
#include "runtime/quantize/measure.h"
#include "runtime/quantize/search.h"
#include "runtime/quantize/write.h"

namespace zoetrope {
namespace {

// For models that read text, where nothing else is given.
constexpr const char* kPrompts[] = {"a small red star bounces on a blue floor",
                                    "two green balls roll to the left"};
constexpr const char* kClasses[] = {"0", "1"};

struct Options {
  std::string model, output, format = "int8";
  int64_t group = 64;
  std::vector<std::string> components, keep;
  std::string prompts, compute = "f32", measure = "clips", judge, page;
  int steps = 0;
  uint64_t seed = 1;
  ClipRequest clip;
  DeviceFlags device;
  SearchTargets targets;
  QuantizeReport::Gate gate{.max_loss = 0.05, .min_psnr = 0, .max_drop = 0};
  bool force = false, quiet = false;
};

Status check_output(const std::string& input, const std::string& output) {
  if (!output.ends_with(".zoe"))
    return error(Code::kInvalidArgument, "-o ", output, ": name the model *.zoe");
  std::error_code failed;
  if (std::filesystem::equivalent(input, output, failed))
    return error(Code::kInvalidArgument, output, ": input and output are the same file");
  ZT_RETURN_IF_ERROR(resolve_output(output).status());
  return Status();
}

Result<std::vector<std::string>> read_prompts(const std::string& path, const Recipe& recipe) {
  std::vector<std::string> prompts;
  if (path.empty()) {
    const bool classes =
        std::any_of(recipe.stages.begin(), recipe.stages.end(),
                    [](const Stage& s) { return std::holds_alternative<ClassLabel>(s); });
    for (const char* text : classes ? kClasses : kPrompts) prompts.emplace_back(text);
    return prompts;
  }
  std::ifstream file(path);
  if (!file) return error(Code::kNotFound, path, ": cannot be read");
  for (std::string line; std::getline(file, line);)
    if (!line.empty()) prompts.push_back(line);
  if (prompts.empty()) return error(Code::kInvalidArgument, path, " holds no prompts, one a line");
  return prompts;
}

class Quantization {
 public:
  explicit Quantization(const Options& options) : o_(options), bar_(options.quiet) {}

  Status run() {
    ZT_ASSIGN_OR_RETURN(path_, find_model(o_.model));
    ZT_RETURN_IF_ERROR(check_output(path_, o_.output));
    ZT_RETURN_IF_ERROR(read_rules());
    ZT_ASSIGN_OR_RETURN(file_, ModelFile::open(path_));
    ZT_RETURN_IF_ERROR(prepare_measure());
    if (o_.targets.psnr > 0 || o_.targets.size > 0) ZT_RETURN_IF_ERROR(search());
    ZT_ASSIGN_OR_RETURN(model_, quantize_model(file_->info(), rules_));
    ZT_ASSIGN_OR_RETURN(weights_, QuantizedWeights::create(*file_, model_.weights));
    ZT_RETURN_IF_ERROR(measure());
    bar_.end();
    apply_gate(&report_);
    report_.forced = o_.force && !report_.failures.empty();
    if (!o_.quiet) std::fputs(report_to_text(report_).c_str(), stderr);
    if (!o_.page.empty()) ZT_RETURN_IF_ERROR(report_page(report_, model_.info.name).write(o_.page));
    if (!report_.failures.empty() && !o_.force)
      return error(Code::kDiffers, o_.output, " was not written: ", report_.failures.front(),
                   "; --force writes it all the same");
    return write();
  }

 private:
  Status read_rules() {
    ZT_ASSIGN_OR_RETURN(rules_.format, parse_requested_format(o_.format));
    rules_.group = o_.group;
    rules_.components = o_.components;
    rules_.keep = o_.keep;
    if (o_.measure != "clips" && o_.measure != "weights")
      return error(Code::kInvalidArgument, "--measure ", o_.measure, ": expected clips or weights");
    ZT_ASSIGN_OR_RETURN(compute_, parse_dtype(o_.compute));
    report_.format = o_.format;
    report_.group = rules_.format == WeightFormat::kInt4 ? o_.group : 0;
    report_.components = o_.components;
    report_.keep = o_.keep;
    report_.gate = o_.gate;
    return Status();
  }

  MeasureProgress progress() {
    return [this](std::string_view task, double done, double total) {
      bar_.update(task, done, total);
      return !interrupted();
    };
  }

  // What clips are compared with, where there are any.
  Status prepare_measure() {
    if (o_.measure == "weights") return Status();
    ZT_ASSIGN_OR_RETURN(Model original, make_model(file_->info(), file_, path_));
    if (!makes_clips(original.recipe)) {
      bar_.message(
          "this model makes no clips by itself: errors of weights are all that is measured");
      return Status();
    }
    MeasureOptions options;
    options.engine.devices = o_.device.options();
    options.engine.placement.device = o_.device.device;
    options.request.compute = compute_;
    options.request.steps = o_.steps;
    options.request.seed = o_.seed;
    options.request.clip = o_.clip;
    options.judge = o_.judge;
    ZT_ASSIGN_OR_RETURN(options.prompts, read_prompts(o_.prompts, original.recipe));
    ZT_ASSIGN_OR_RETURN(measure_, Measure::create(std::move(original), options));
    report_.compute = o_.compute;
    report_.device = o_.device.device;
    return Status();
  }

  Status search() {
    if (measure_ == nullptr)
      return error(Code::kInvalidArgument,
                   "--target-psnr and --target-size compare clips: this "
                   "needs --measure clips and a model that makes some");
    if (rules_.format == WeightFormat::kF16 || rules_.format == WeightFormat::kBF16)
      return error(Code::kInvalidArgument,
                   "--target-psnr and --target-size choose among layers of "
                   "int8, fp8 or int4");
    ZT_ASSIGN_OR_RETURN(SearchResult found,
                        search_layers(*file_, rules_, o_.targets, *measure_, progress()));
    rules_ = std::move(found.rules);
    report_.sensitivity = std::move(found.layers);
    return Status();
  }

  Status measure() {
    ZT_ASSIGN_OR_RETURN(report_.original_bytes, stored_bytes(file_->info().components, *file_));
    ZT_ASSIGN_OR_RETURN(report_.bytes, stored_bytes(model_.info.components, *weights_));
    ZT_ASSIGN_OR_RETURN(report_.layers,
                        measure_weights(*file_, *weights_, model_.weights, progress()));
    if (measure_ == nullptr) return Status();
    ZT_ASSIGN_OR_RETURN(const Model quantized, make_model(model_.info, weights_, o_.output));
    return measure_->measure(quantized, &report_, progress());
  }

  Status write() {
    model_.info.quantisation = report_to_json(report_);
    ZT_RETURN_IF_ERROR(
        write_quantized(*file_, model_, *weights_, o_.output, [this](int64_t done, int64_t total) {
          return progress()("write", static_cast<double>(done), static_cast<double>(total));
        }));
    bar_.end();
    return Status();
  }

  const Options& o_;
  ProgressBar bar_;
  std::string path_;
  DType compute_ = DType::kF32;
  QuantizeRules rules_;
  std::shared_ptr<ModelFile> file_;
  std::unique_ptr<Measure> measure_;  // null: weights alone
  QuantizedModel model_;
  std::shared_ptr<QuantizedWeights> weights_;  // reads file_
  QuantizeReport report_;
};

void add_measure_flags(CLI::App* app, Options* o) {
  app->add_option("--calibrate", o->prompts,
                  "Prompts (or classes) to compare clips of, one a line; left out, two of ours");
  app->add_option("--measure", o->measure,
                  "clips: both models make clips from equal seeds; weights: their errors alone")
      ->capture_default_str();
  app->add_option("--steps", o->steps, "Denoising steps of those clips; the model's own");
  app->add_option("--width", o->clip.width, "Their width; the model's own");
  app->add_option("--height", o->clip.height, "Their height");
  app->add_option("--frames", o->clip.frames, "Their frames");
  app->add_option("--seed", o->seed, "The first clip's seed; later ones follow")
      ->capture_default_str();
  app->add_option("--compute", o->compute, "f32, bf16 or f16")->capture_default_str();
  o->device.add_to(app);
  app->add_option(
      "--target-psnr", o->targets.psnr,
      "Give more bits to the layers that need them until clips reach this, in decibels");
  app->add_option(
      "--target-size", o->targets.size,
      "The same, as far as the tensors take at most this share of the original's bytes");
  app->add_option("--judge", o->judge,
                  "A command that judges a folder of clips, {} in it, and prints rates as JSON");
  app->add_option("--max-loss", o->gate.max_loss,
                  "Gate: the loss against the original, of 1; 0 asks for nothing")
      ->capture_default_str();
  app->add_option("--min-psnr", o->gate.min_psnr, "Gate: the clips' PSNR in decibels");
  app->add_option("--max-drop", o->gate.max_drop, "Gate: what any rate may fall by, of 1");
  app->add_option("--page", o->page, "Also write the report as an HTML page");
  app->add_flag("--force", o->force, "Write the file although the gate fails, and record that");
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
  app->add_option("model", options->model, "A .zoe file; left out, the embedded one");
  app->add_option("-o,--output", options->output, "Where to write the .zoe file")->required();
  app->add_option("--format", options->format,
                  "int8 or fp8: products of 8-bit weights and activations; int4: weights in "
                  "groups; bf16, f16: storage")
      ->capture_default_str();
  app->add_option("--group", options->group, "Of int4: weights that share a factor, 32, 64 or 128")
      ->capture_default_str();
  app->add_option("--components", options->components, "Only these components")->delimiter(',');
  app->add_option("--keep", options->keep,
                  "Weights that stay as they are: names or patterns with * and ?")
      ->delimiter(',');
  add_measure_flags(app, options.get());
  app->add_flag("-q,--quiet", options->quiet, "No progress, no summary");
  app->callback([=] { *run = [=] { return Quantization(*options).run(); }; });
}

}  // namespace zoetrope
