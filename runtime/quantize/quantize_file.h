// A model file to one of fewer bits, with what that costs measured and a gate before it is written:
// what `zoetrope quantize` does.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "runtime/quantize/measure.h"
#include "runtime/quantize/search.h"

namespace zoetrope {

struct QuantizeFileOptions {
  std::string model, output;  // .zoe files
  std::string format = "int8";
  int64_t group = 64;
  std::vector<std::string> components, keep;
  // Of clips that are compared; empty: two of ours. Of models of classes: classes.
  std::vector<std::string> prompts;
  bool measure_clips = true;  // else the errors of weights alone
  // int4: each weight is rounded to the nearest, not so that errors make up for each other in the
  // clips compared.
  bool nearest = false;
  std::string compute = "f32", judge;
  int steps = 0;
  uint64_t seed = 1;
  ClipRequest clip;
  EngineOptions engine;  // where clips are made
  SearchTargets targets;
  QuantizeReport::Gate gate{.max_loss = 0.05, .min_psnr = 0, .max_drop = 0};
  bool force = false;  // written although the gate fails, which the report in the file says
};

// Each may be empty.
struct QuantizeFileHooks {
  MeasureProgress progress;
  std::function<void(const std::string& text)> notice;
  // Sees the costs of the model of that name before the file is written or refused.
  std::function<Status(const QuantizeReport& report, const std::string& model)> report;
};

// kDiffers: the gate failed and nothing was written.
Status quantize_file(const QuantizeFileOptions& options, const QuantizeFileHooks& hooks);

}  // namespace zoetrope
