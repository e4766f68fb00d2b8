// Measuring a quantised model beside its original: errors of weights, losses along the original's
// way from noise to latents, clips from equal seeds.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "runtime/engine/engine.h"
#include "runtime/quantize/calibrate.h"
#include "runtime/quantize/report.h"
#include "runtime/quantize/rules.h"

namespace zoetrope {

struct MeasureOptions {
  EngineOptions engine;
  Request request;                   // sizes, steps, compute; its prompt and classes are replaced
  std::vector<std::string> prompts;  // of models of classes: names or numbers of classes
  // A program that judges clips: the shell runs it with {} replaced by a folder that holds a folder
  // for each clip, in the order of prompts (PNG frames and, with sound, a WAV file). It prints a
  // JSON object; its numbers from 0 to 1 are rates. Empty: none.
  std::string judge;
};

// False cancels.
using MeasureProgress = std::function<bool(std::string_view task, double done, double total)>;

// ‖w − ŵ‖ / ‖w‖ of each weight, one at a time; 0 where w is.
Result<std::vector<QuantizeReport::Layer>> measure_weights(
    const WeightSource& original, const WeightSource& quantized,
    const std::vector<QuantizedWeight>& weights, const MeasureProgress& progress);

// Whether the recipe makes clips or pictures that can be compared.
bool makes_clips(const Recipe& recipe);

// Against one original, by prompts of one purpose: those that something is fitted to say little of
// others. Clips are made, compared and forgotten one after the other; those of the first prompts
// are kept, for losses of many models.
class Measure {
 public:
  static constexpr size_t kRanking = 4;
  static constexpr int kCalibrationSteps = 7;

  static Result<std::unique_ptr<Measure>> create(Model original, MeasureOptions options);

  // What is made of the prompts, in their order.
  std::vector<QuantizeReport::Calibration> seeds() const;

  // Shows `moments` what the original computes for the prompts, and returns in how many steps each:
  // those of the request; where it leaves them out, kCalibrationSteps if the model can take so few,
  // as more prompts tell more than more steps.
  Result<int64_t> calibrate(GatherMoments* moments, const MeasureProgress& progress);
  // The mean over the first kRanking prompts, which are enough to rank models.
  Result<double> loss(const Model& model, const MeasureProgress& progress);
  // The mean PSNR of the same clips, in decibels.
  Result<double> psnr(const Model& model, const MeasureProgress& progress);
  // Fills in clips, steps and rates.
  Status measure(const Model& model, QuantizeReport* report, const MeasureProgress& progress);

 private:
  // What the network gave, guided, at a time of the schedule.
  struct Evaluation {
    double time;
    std::vector<float> output;
  };
  struct Clip {
    ClipShape shape;
    std::vector<uint8_t> pixels;
    std::vector<float> sound;
    std::vector<Evaluation> evaluations;  // of the original alone
  };
  struct Loss {
    double time = 0, error = 0, energy = 0;
  };
  explicit Measure(MeasureOptions options) : options_(std::move(options)) {}

  Request request_of(size_t prompt) const;
  Result<int64_t> steps_of(const Request& request) const;
  static Result<Clip> run(Engine& engine, const Request& request, const RunHooks& hooks);
  // Its size is the original's.
  Result<Clip> clip_like(Engine& engine, size_t prompt, const Clip& original,
                         const MeasureProgress& progress) const;
  Result<std::shared_ptr<const Clip>> original(size_t prompt, const MeasureProgress& progress);
  // One prompt, the original's outputs put in place of the model's: it sees what the original saw.
  Result<std::vector<Loss>> losses(Engine& engine, size_t prompt, const Clip& original,
                                   const MeasureProgress& progress) const;
  Status compare(Engine& engine, size_t prompt, const std::string& folder, QuantizeReport* report,
                 std::vector<Loss>* steps, const MeasureProgress& progress);
  Status write_clip(const Clip& clip, const std::string& folder, size_t prompt) const;
  Result<std::map<std::string, double>> judge(const std::string& folder) const;
  Status judge_both(const std::string& folder, QuantizeReport* report) const;

  MeasureOptions options_;
  std::unique_ptr<Engine> original_;
  std::map<size_t, std::shared_ptr<const Clip>> kept_;  // by prompt
};

}  // namespace zoetrope
