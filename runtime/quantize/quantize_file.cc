#include "runtime/quantize/quantize_file.h"

#include <algorithm>
#include <filesystem>

#include "graph/format/output_claim.h"
#include "graph/rotation.h"
#include "graph/text.h"
#include "runtime/engine/find_stage.h"
#include "runtime/quantize/calibrate.h"
#include "runtime/quantize/write.h"

namespace zoetrope {
namespace {

// Where nothing else is given: of the report, and of what something is fitted to, which is better
// fitted to much.
constexpr const char* kPrompts[] = {"a small red star bounces on a blue floor",
                                    "two green balls roll to the left"};
constexpr const char* kOtherPrompts[] = {
    "a large yellow ring grows",
    "one purple box rises to the top in front of grey stripes",
    "a small green ball bounces up and down on a brown floor",
    "the white ring spins while a tiny orange star falls",
    "on a teal floor in front of a pink wall, a blue diamond slides from side to side",
    "a flashing red cross over a yellow gradient",
    "a medium-sized pink triangle is shrinking against a dark checkered background",
    "two toys: a snowy disc orbits and a huge scarlet gem stands still",
    "a golden star goes round in circles as the camera pans left",
    "there is a little violet hoop hopping on a navy checkerboard",
    "a big orange square appears and disappears before green stripes",
    "a rosy plus drops to the ground while the camera moves closer",
    "the red ball keeps sliding and the white heart keeps spinning over a black backdrop",
    "a green triangle floats up next to a small yellow block getting bigger",
    "against a fading blue backdrop, one purple diamond deflates",
    "a middling pink donut moves left and right with a slow zoom out",
    "the scarlet star twirls on a grey floor in front of a navy wall",
    "one big blue ball falls while a small white cross blinks",
    "in front of yellow stripes, the green heart is hopping",
    "an inflating orange circle against a plain black background",
    "a tiny purple block glides from wall to wall over a pink gradient",
    "there is a yellow ring rising before brown checks as the camera pans right",
    "a large red triangle flies in a circle and the little green box rests",
    "the white diamond flickers on and off on the dark blue floor",
    "one golden cross swells while the view drifts to the left",
    "a medium pink ball rotates on a plain teal background",
    "a huge orange heart floats upwards next to a violet star getting smaller",
    "on a red checkerboard, the blue hoop drops",
    "a snowy square jumps up and down and a rosy disc slides back and forth",
    "we see a small yellow gem turning around and around while the camera moves away",
    "the mid-sized green plus always shrinks down over a soft grey gradient",
    "a flashing purple circle and a waiting red donut on a green floor with a yellow wall behind"};
constexpr uint64_t kFirstSeed = 1;
// As many clips are compared at most: the calibration's seeds begin behind theirs.
constexpr uint64_t kMostPrompts = 1 << 16;
constexpr double kMaxAttentionLoss = 0.02;  // where nothing else is asked for

Status check_output(const std::string& input, const std::string& output) {
  if (!output.ends_with(".zoe"))
    return error(Code::kInvalidArgument, "-o ", output, ": name the model *.zoe");
  std::error_code failed;
  if (std::filesystem::equivalent(input, output, failed))
    return error(Code::kInvalidArgument, output, ": input and output are the same file");
  return Status();
}

std::vector<std::string> own_prompts(const Recipe& recipe, bool calibration) {
  if (const auto* label = find_stage<ClassLabel>(recipe)) {
    // Of few classes the same come again, from other seeds; of many, those from all over the list.
    const size_t many = static_cast<size_t>(std::max(label->classes, 1));
    const size_t count = calibration ? std::size(kOtherPrompts) : std::size(kPrompts);
    const size_t first = calibration ? std::size(kPrompts) : 0;
    const size_t step = calibration ? std::max<size_t>(many / count, 1) : 1;
    std::vector<std::string> classes;
    for (size_t i = 0; i < count; ++i) classes.push_back(str((first + i * step) % many));
    return classes;
  }
  if (calibration) return {std::begin(kOtherPrompts), std::end(kOtherPrompts)};
  return {std::begin(kPrompts), std::end(kPrompts)};
}

Status refuse(std::string_view flag, std::string_view why) {
  return error(Code::kInvalidArgument, flag, ": ", why);
}

Status check_range(std::string_view flag, double value, double most) {
  if (value >= 0 && value <= most) return Status();
  return error(Code::kInvalidArgument, flag, " ", value, ": expected a number from 0 to ", most);
}

Status check_prompts(std::string_view flag, const std::vector<std::string>& prompts) {
  if (prompts.size() > kMostPrompts)
    return error(Code::kInvalidArgument, flag, ": ", prompts.size(), " prompts, at most ",
                 kMostPrompts);
  for (const std::string& prompt : prompts)
    if (prompt.size() > kMostPrompts || !is_utf8(prompt))
      return error(Code::kInvalidArgument, flag, ": a prompt that is not UTF-8 of at most ",
                   kMostPrompts, " bytes");
  return Status();
}

class Quantization {
 public:
  Quantization(const QuantizeFileOptions& options, const QuantizeFileHooks& hooks)
      : o_(options), hooks_(hooks) {}

  Status run() {
    ZT_RETURN_IF_ERROR(check_output(o_.model, o_.output));
    ZT_ASSIGN_OR_RETURN(const OutputClaim claim, OutputClaim::take(o_.output));
    ZT_RETURN_IF_ERROR(read_rules());
    ZT_RETURN_IF_ERROR(check_values());
    if (!o_.measure_clips) ZT_RETURN_IF_ERROR(check_no_clips("needs --measure clips"));
    ZT_ASSIGN_OR_RETURN(file_, ModelFile::open(o_.model));
    ZT_RETURN_IF_ERROR(prepare_measure());
    ZT_RETURN_IF_ERROR(parse_report(report_to_json(report_)).status());
    if (fits()) ZT_RETURN_IF_ERROR(calibrate());
    if (searches()) ZT_RETURN_IF_ERROR(search());
    calibration_.reset();
    ZT_ASSIGN_OR_RETURN(model_, quantize_model(file_->info(), rules_));
    report_.attentions = model_.attentions;
    report_.turned_weights =
        std::count_if(model_.weights.begin(), model_.weights.end(),
                      [](const QuantizedWeight& w) { return w.choice.rotate; });
    if (o_.rotate && report_.turned_weights == 0)
      return refuse("--rotate", str("no weight in int8 has rows of a multiple of ", kRotation,
                                    " numbers, which can be turned"));
    ZT_ASSIGN_OR_RETURN(weights_, QuantizedWeights::create(*file_, model_.weights, moments()));
    ZT_RETURN_IF_ERROR(measure());
    apply_gate(&report_);
    report_.forced = o_.force && !report_.failures.empty();
    if (hooks_.report) ZT_RETURN_IF_ERROR(hooks_.report(report_, model_.info.name));
    if (!report_.failures.empty() && !o_.force)
      return error(Code::kDiffers, o_.output, " was not written: ", report_.failures.front(),
                   "; --force writes it all the same");
    model_.info.quantisation = report_to_json(report_);
    // What is written must be what is read.
    ZT_RETURN_IF_ERROR(parse_report(model_.info.quantisation).status());
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
    if (o_.group != 0 && rules_.format != WeightFormat::kInt4)
      return refuse("--group", str("weights of ", o_.format, " have no groups, those of int4 do"));
    if (o_.nearest && rules_.format != WeightFormat::kInt4)
      return refuse("--nearest", str(o_.format, " rounds to the nearest always; this is of int4"));
    rules_.group = o_.group == 0 ? 64 : o_.group;
    if (o_.rotate && rules_.format != WeightFormat::kInt8)
      return refuse("--rotate", str("products in ", o_.format, " gain nothing; this is of int8"));
    rules_.rotate = o_.rotate;
    if (o_.attention_bits != 0 && o_.attention_bits != 8)
      return refuse("--attention-bits", str(o_.attention_bits, ": expected 8, or 0"));
    rules_.attention_bits = static_cast<int>(o_.attention_bits);
    rules_.components = o_.components;
    rules_.keep = o_.keep;
    if (o_.compute) {
      ZT_ASSIGN_OR_RETURN(compute_, parse_dtype(*o_.compute));
    }
    report_.format = o_.format;
    report_.group = rules_.format == WeightFormat::kInt4 ? rules_.group : 0;
    report_.components = o_.components;
    report_.keep = o_.keep;
    report_.gate = {o_.max_loss.value_or(0), o_.min_psnr, o_.max_drop, o_.targets.psnr,
                    o_.max_attention_loss.value_or(0)};
    return Status();
  }

  bool searches() const { return o_.targets.psnr > 0 || o_.targets.size > 0; }
  bool compensates() const { return rules_.format == WeightFormat::kInt4 && !o_.nearest; }
  bool fits() const { return original_ && (compensates() || searches()); }

  Status check_values() const {
    ZT_RETURN_IF_ERROR(check_range("--max-loss", o_.max_loss.value_or(0), 1e6));
    ZT_RETURN_IF_ERROR(check_range("--max-attention-loss", o_.max_attention_loss.value_or(0), 1e6));
    if (o_.max_attention_loss && o_.attention_bits == 0)
      return refuse("--max-attention-loss", "attention stays as it is without --attention-bits 8");
    ZT_RETURN_IF_ERROR(check_range("--min-psnr", o_.min_psnr, 200));
    ZT_RETURN_IF_ERROR(check_range("--max-drop", o_.max_drop, 1));
    ZT_RETURN_IF_ERROR(check_range("--target-psnr", o_.targets.psnr, 200));
    ZT_RETURN_IF_ERROR(check_range("--target-size", o_.targets.size, 1));
    ZT_RETURN_IF_ERROR(check_prompts("--prompts", o_.prompts));
    ZT_RETURN_IF_ERROR(check_prompts("--calibrate", o_.calibration));
    if (o_.max_drop > 0 && o_.judge.empty())
      return refuse("--max-drop", "nothing gives rates without --judge");
    if (!o_.judge.empty() && o_.judge.find("{}") == std::string::npos)
      return refuse("--judge", "the command needs {} where the folder goes");
    if (!o_.calibration.empty() && !compensates() && !searches())
      return refuse("--calibrate",
                    "nothing is fitted to clips here: that is int4 without --nearest, "
                    "--target-psnr and --target-size; clips to compare: --prompts");
    if (!compensates() && o_.calibration.size() > Measure::kRanking)
      return refuse("--calibrate",
                    str(o_.calibration.size(), " prompts; the search of layers looks at ",
                        Measure::kRanking, " at most"));
    return Status();
  }

  // Nothing that only clips have may be asked for where none are made.
  Status check_no_clips(std::string_view why) const {
    const std::pair<const char*, bool> asked[] = {
        {"--max-loss", o_.max_loss.value_or(0) > 0},
        {"--max-attention-loss", o_.max_attention_loss.value_or(0) > 0},
        {"--min-psnr", o_.min_psnr > 0},
        {"--max-drop", o_.max_drop > 0},
        {"--target-psnr", o_.targets.psnr > 0},
        {"--target-size", o_.targets.size > 0},
        {"--judge", !o_.judge.empty()},
        {"--prompts", !o_.prompts.empty()},
        {"--calibrate", !o_.calibration.empty()},
        {"--nearest", o_.nearest},
        {"--compute", o_.compute.has_value()},
        {"--device", o_.engine.placement.device != "auto"},
        {"--threads", o_.engine.devices.threads != 0},
        {"--target", !o_.engine.devices.force_target.empty()},
        {"--steps", o_.steps != 0},
        {"--width", o_.clip.width != 0},
        {"--height", o_.clip.height != 0},
        {"--frames", o_.clip.frames != 0},
        {"--seed", o_.seed.has_value()}};
    for (const auto& [flag, given] : asked)
      if (given || o_.said.contains(flag)) return refuse(flag, why);
    return Status();
  }

  // What clips are compared with, where there are any.
  Status prepare_measure() {
    if (!o_.measure_clips) return Status();
    ZT_ASSIGN_OR_RETURN(Model original, make_model(file_->info(), file_, o_.model));
    if (!makes_clips(original.recipe)) {
      ZT_RETURN_IF_ERROR(check_no_clips("this model makes no clips by itself"));
      if (hooks_.notice)
        hooks_.notice(
            "this model makes no clips by itself: errors of weights are all that is measured");
      return Status();
    }
    report_.gate.max_loss = o_.max_loss.value_or(0.05);
    report_.compute = dtype_name(compute_);
    report_.device = o_.engine.placement.device;
    original_ = std::move(original);
    return Status();
  }

  Result<std::unique_ptr<Measure>> measure_by(const std::vector<std::string>& prompts,
                                              bool calibration) const {
    MeasureOptions options;
    options.engine = o_.engine;
    options.request.compute = compute_;
    options.request.steps = o_.steps;
    options.request.seed = o_.seed.value_or(kFirstSeed) + (calibration ? kMostPrompts : 0);
    options.request.clip = o_.clip;
    if (!calibration) options.judge = o_.judge;
    options.prompts = prompts.empty() ? own_prompts(original_->recipe, calibration) : prompts;
    if (calibration && !compensates() && options.prompts.size() > Measure::kRanking)
      options.prompts.resize(Measure::kRanking);
    return Measure::create(*original_, std::move(options));
  }

  // What products see of the calibration's prompts, for int4.
  Status calibrate() {
    ZT_ASSIGN_OR_RETURN(calibration_, measure_by(o_.calibration, true));
    report_.calibration = calibration_->seeds();
    if (!compensates()) return Status();
    ZT_ASSIGN_OR_RETURN(const QuantizedModel all, quantize_model(file_->info(), rules_));
    gathered_ = std::make_unique<GatherMoments>(all.weights);
    ZT_ASSIGN_OR_RETURN(report_.calibration_steps,
                        calibration_->calibrate(gathered_.get(), measuring()));
    return Status();
  }
  const WeightMoments* moments() const {
    return gathered_ == nullptr ? nullptr : &gathered_->moments();
  }

  Status search() {
    if (rules_.format == WeightFormat::kF16 || rules_.format == WeightFormat::kBF16)
      return error(Code::kInvalidArgument,
                   "--target-psnr and --target-size choose among layers of "
                   "int8, fp8 or int4");
    ZT_ASSIGN_OR_RETURN(SearchResult found, search_layers(*file_, rules_, o_.targets, moments(),
                                                          *calibration_, measuring()));
    rules_ = std::move(found.rules);
    report_.sensitivity = std::move(found.layers);
    return Status();
  }

  Status measure() {
    ZT_ASSIGN_OR_RETURN(report_.original_bytes, stored_bytes(file_->info().components, *file_));
    ZT_ASSIGN_OR_RETURN(report_.bytes, stored_bytes(model_.info.components, *weights_));
    ZT_ASSIGN_OR_RETURN(report_.layers,
                        measure_weights(*file_, *weights_, model_.weights, measuring()));
    report_.compensated_weights = weights_->compensated();
    if (!original_) return Status();
    ZT_ASSIGN_OR_RETURN(const auto measure, measure_by(o_.prompts, false));
    if (report_.attentions > 0) ZT_RETURN_IF_ERROR(measure_attention(*measure));
    ZT_ASSIGN_OR_RETURN(const Model quantized, make_model(model_.info, weights_, o_.output));
    return measure->measure(quantized, &report_, measuring());
  }

  // The original but for its attention. Kernels that multiply exactly give the same bits.
  Status measure_attention(Measure& measure) {
    QuantizeRules rules;
    rules.attention_bits = rules_.attention_bits;
    rules.components = rules_.components;
    rules.keep = {"*"};
    ZT_ASSIGN_OR_RETURN(const QuantizedModel alone, quantize_model(file_->info(), rules));
    ZT_ASSIGN_OR_RETURN(const Model model, make_model(alone.info, file_, o_.output));
    ZT_ASSIGN_OR_RETURN(const double loss, measure.loss(model, measuring()));
    if (loss > 0) {
      report_.attention_loss = loss;
      report_.gate.max_attention_loss = o_.max_attention_loss.value_or(kMaxAttentionLoss);
    } else if (hooks_.notice) {
      hooks_.notice(str("attention in 8 bits: ", report_.device,
                        " multiplies it exactly in such clips, so what it costs elsewhere was not "
                        "measured"));
    }
    return Status();
  }

  const QuantizeFileOptions& o_;
  const QuantizeFileHooks& hooks_;
  DType compute_ = DType::kF32;
  QuantizeRules rules_;
  std::shared_ptr<ModelFile> file_;
  std::optional<Model> original_;            // none: weights alone
  std::unique_ptr<Measure> calibration_;     // null: nothing is fitted
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
