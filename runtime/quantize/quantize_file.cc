#include "runtime/quantize/quantize_file.h"

#include <algorithm>
#include <filesystem>

#include "graph/format/output_file.h"
#include "runtime/quantize/calibrate.h"
#include "runtime/quantize/write.h"

namespace zoetrope {
namespace {

// Where nothing else is given.
constexpr const char* kPrompts[] = {"a small red star bounces on a blue floor",
                                    "two green balls roll to the left"};
constexpr const char* kClasses[] = {"0", "1"};

Status check_output(const std::string& input, const std::string& output) {
  if (!output.ends_with(".zoe"))
    return error(Code::kInvalidArgument, "-o ", output, ": name the model *.zoe");
  std::error_code failed;
  if (std::filesystem::equivalent(input, output, failed))
    return error(Code::kInvalidArgument, output, ": input and output are the same file");
  return resolve_output(output).status();
}

std::vector<std::string> own_prompts(const Recipe& recipe) {
  const bool classes = std::any_of(recipe.stages.begin(), recipe.stages.end(), [](const Stage& s) {
    return std::holds_alternative<ClassLabel>(s);
  });
  const auto& texts = classes ? kClasses : kPrompts;
  return {std::begin(texts), std::end(texts)};
}

class Quantization {
 public:
  Quantization(const QuantizeFileOptions& options, const QuantizeFileHooks& hooks)
      : o_(options), hooks_(hooks) {}

  Status run() {
    ZT_RETURN_IF_ERROR(check_output(o_.model, o_.output));
    ZT_RETURN_IF_ERROR(read_rules());
    ZT_ASSIGN_OR_RETURN(file_, ModelFile::open(o_.model));
    ZT_RETURN_IF_ERROR(prepare_measure());
    ZT_RETURN_IF_ERROR(calibrate());
    if (o_.targets.psnr > 0 || o_.targets.size > 0) ZT_RETURN_IF_ERROR(search());
    ZT_ASSIGN_OR_RETURN(model_, quantize_model(file_->info(), rules_));
    ZT_ASSIGN_OR_RETURN(weights_, QuantizedWeights::create(*file_, model_.weights, moments()));
    ZT_RETURN_IF_ERROR(measure());
    apply_gate(&report_);
    report_.forced = o_.force && !report_.failures.empty();
    if (hooks_.report) ZT_RETURN_IF_ERROR(hooks_.report(report_, model_.info.name));
    if (!report_.failures.empty() && !o_.force)
      return error(Code::kDiffers, o_.output, " was not written: ", report_.failures.front(),
                   "; --force writes it all the same");
    model_.info.quantisation = report_to_json(report_);
    return write_quantized(
        *file_, model_, *weights_, o_.output, [this](int64_t done, int64_t total) {
          return progress("write", static_cast<double>(done), static_cast<double>(total));
        });
  }

 private:
  bool progress(std::string_view task, double done, double total) const {
    return !hooks_.progress || hooks_.progress(task, done, total);
  }
  MeasureProgress measuring() const {
    return [this](std::string_view task, double done, double total) {
      return progress(task, done, total);
    };
  }

  Status read_rules() {
    ZT_ASSIGN_OR_RETURN(rules_.format, parse_requested_format(o_.format));
    rules_.group = o_.group;
    rules_.components = o_.components;
    rules_.keep = o_.keep;
    ZT_ASSIGN_OR_RETURN(compute_, parse_dtype(o_.compute));
    report_.format = o_.format;
    report_.group = rules_.format == WeightFormat::kInt4 ? o_.group : 0;
    report_.components = o_.components;
    report_.keep = o_.keep;
    report_.gate = o_.gate;
    return Status();
  }

  // What clips are compared with, where there are any.
  Status prepare_measure() {
    if (!o_.measure_clips) return Status();
    ZT_ASSIGN_OR_RETURN(Model original, make_model(file_->info(), file_, o_.model));
    if (!makes_clips(original.recipe)) {
      if (hooks_.notice)
        hooks_.notice(
            "this model makes no clips by itself: errors of weights are all that is measured");
      return Status();
    }
    MeasureOptions options;
    options.engine = o_.engine;
    options.request.compute = compute_;
    options.request.steps = o_.steps;
    options.request.seed = o_.seed;
    options.request.clip = o_.clip;
    options.judge = o_.judge;
    options.prompts = o_.prompts.empty() ? own_prompts(original.recipe) : o_.prompts;
    ZT_ASSIGN_OR_RETURN(measure_, Measure::create(std::move(original), options));
    report_.compute = o_.compute;
    report_.device = o_.engine.placement.device;
    return Status();
  }

  // What products see of the first prompts, for int4.
  Status calibrate() {
    if (measure_ == nullptr || o_.nearest || rules_.format != WeightFormat::kInt4) return Status();
    ZT_ASSIGN_OR_RETURN(const QuantizedModel all, quantize_model(file_->info(), rules_));
    gathered_ = std::make_unique<GatherMoments>(all.weights);
    report_.compensated = true;
    return measure_->calibrate(gathered_.get(), measuring());
  }
  const WeightMoments* moments() const {
    return gathered_ == nullptr ? nullptr : &gathered_->moments();
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
    ZT_ASSIGN_OR_RETURN(SearchResult found, search_layers(*file_, rules_, o_.targets, moments(),
                                                          *measure_, measuring()));
    rules_ = std::move(found.rules);
    report_.sensitivity = std::move(found.layers);
    return Status();
  }

  Status measure() {
    ZT_ASSIGN_OR_RETURN(report_.original_bytes, stored_bytes(file_->info().components, *file_));
    ZT_ASSIGN_OR_RETURN(report_.bytes, stored_bytes(model_.info.components, *weights_));
    ZT_ASSIGN_OR_RETURN(report_.layers,
                        measure_weights(*file_, *weights_, model_.weights, measuring()));
    if (measure_ == nullptr) return Status();
    ZT_ASSIGN_OR_RETURN(const Model quantized, make_model(model_.info, weights_, o_.output));
    return measure_->measure(quantized, &report_, measuring());
  }

  const QuantizeFileOptions& o_;
  const QuantizeFileHooks& hooks_;
  DType compute_ = DType::kF32;
  QuantizeRules rules_;
  std::shared_ptr<ModelFile> file_;
  std::unique_ptr<Measure> measure_;         // null: weights alone
  std::unique_ptr<GatherMoments> gathered_;  // null: weights are rounded to the nearest
  QuantizedModel model_;
  std::shared_ptr<QuantizedWeights> weights_;  // reads file_ and gathered_
  QuantizeReport report_;
};

}  // namespace

Status quantize_file(const QuantizeFileOptions& options, const QuantizeFileHooks& hooks) {
  return Quantization(options, hooks).run();
}

}  // namespace zoetrope
