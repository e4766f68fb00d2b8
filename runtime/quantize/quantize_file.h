// A model file to one of fewer bits, with what that costs measured and a gate before it is written:
// what `zoetrope quantize` does.
#pragma once

#include <functional>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "runtime/quantize/measure.h"
#include "runtime/quantize/search.h"

namespace zoetrope {

struct QuantizeFileOptions {
  std::string model, output;  // .zoe files
  std::string format = "int8";
  int64_t group = 0;  // of int4; 0: 64
  std::vector<std::string> components, keep;
  // Of clips that the report compares, and of others that int4's rounding and, by the first four,
  // the search are fitted to; empty: two of ours, and 32 for rounding or four for a search alone.
  // Of models of classes: classes. Seeds of the two never meet.
  std::vector<std::string> prompts, calibration;
  bool measure_clips = true;  // else the errors of weights alone
  // int4: each weight is rounded to the nearest, not so that errors make up for each other in the
  // calibration's clips.
  bool nearest = false;
  // int8: rows are turned (graph/rotation.h) before they are rounded.
  bool rotate = false;
  // 8: products of attentions that every step computes may be of 8 bits (`bits` of the op), where
  // the backend has such kernels; 0: as they are.
  int64_t attention_bits = 0;
  std::optional<std::string> compute;  // of clips; left out: f32
  std::string judge;
  int steps = 0;  // 0: the model's own; for rounding's calibration as Measure::calibrate says
  std::optional<uint64_t> seed;  // of the first clip compared; left out: 1
  ClipRequest clip;
  EngineOptions engine;  // where clips are made
  SearchTargets targets;
  // The gate. 0 asks for nothing; left out, the loss is 0.05 where clips are compared.
  std::optional<double> max_loss;
  double min_psnr = 0, max_drop = 0;
  // Of attention in 8 bits alone; left out, 0.02 where it is measured.
  std::optional<double> max_attention_loss;
  // Flags that were given, such as "--device", also with a value that holds anyway: what has no
  // effect is refused however it is said.
  std::set<std::string> said;
  bool force = false;  // written although the gate fails, which the report in the file says
};

// Each may be empty.
struct QuantizeFileHooks {
  MeasureProgress progress;
  std::function<void(const std::string& text)> notice;
  // Sees the costs of the model of that name before the file is written or refused.
  std::function<Status(const QuantizeReport& report, const std::string& model)> report;
};

// kDiffers: the gate failed and nothing was written. What is asked for and cannot be, or would be
// without effect, is refused by the name of its flag.
Status quantize_file(const QuantizeFileOptions& options, const QuantizeFileHooks& hooks);

}  // namespace zoetrope
