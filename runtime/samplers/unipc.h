// UniPC (arXiv 2302.04867) for flow matching: a predictor of the clean sample from the last few
// evaluations, corrected by each new one; one evaluation a step. As diffusers'
// UniPCMultistepScheduler with flow sigmas and predictions of x_0 steps.
#pragma once

#include <span>
#include <vector>

#include "graph/status.h"

namespace zoetrope {

// Where along the way from noise (sigma 1) to the result (0) a flow is evaluated. With u from
// `first` towards `last` in even steps, sigma = shift·u / (1 + (shift − 1)·u); the end is 0.
//   diffusers' UniPC             first 1, last 0.001, most 1 − 1e-6
//   UniPC in original projects   first 0.999, last 0
//   diffusers' Euler by default  first 1, last shifted(0.001), reaches_last, no train_steps
struct FlowSpacing {
  double shift = 1, first = 1, last = 0.001;
  double most = 1 - 1e-6;     // sigmas are cut to this: UniPC needs some signal to begin with
  bool reaches_last = false;  // whether `last` is evaluated; else it is one step further
  int train_steps = 1000;     // the network is told whole steps of these, rounded down; 0: sigma
};

struct FlowPoints {
  std::vector<double> sigmas;  // steps + 1, falling, the last 0; of f32 precision
  std::vector<double> times;   // steps: what the network is told, in [0, 1]
};

// Errors say what cannot be: sigmas that do not fall, or steps beyond 1 to 10000.
Result<FlowPoints> space_flow(const FlowSpacing& spacing, int steps);

struct UniPcSpec {
  int order = 2;    // 1 to 3; the first and last steps have less
  bool bh2 = true;  // B(h) = e^h − 1; else B(h) = h
};

// What a run carries from step to step, so that it can be saved and go on elsewhere.
struct UniPcState {
  std::vector<std::vector<float>> starts;  // predictions of x_0, newest first
  std::vector<float> before;               // the sample that the last step began with, corrected
};

// The coefficients of every step, computed once. Immutable, so any thread may use it.
class UniPcSampler {
 public:
  // `sigmas` as of space_flow.
  static Result<UniPcSampler> create(const UniPcSpec& spec, std::span<const double> sigmas);

  int steps() const { return static_cast<int>(steps_.size()); }

  // `velocity` is the network's at x, guidance included; x becomes the sample after step `index`.
  // Steps are taken in order, from any first one with an empty state.
  void step(int index, std::span<const float> velocity, UniPcState* state,
            std::span<float> x) const;

 private:
  // A sample as a sum: of the sample before, of predictions of x_0 (newest first).
  struct Sum {
    double of_sample = 0;
    std::vector<double> of_starts;
  };
  // Towards `to`, with the predictions at sigmas `from`, from − 1, ... `order` of them; with the
  // one at `to` itself in front where `corrects`.
  Sum coefficients(int from, int order, bool corrects) const;
  int order_at(int index, int known) const;
  static void apply(const Sum& sum, std::span<const float> sample,
                    std::span<const std::vector<float>* const> starts, std::span<float> x);

  UniPcSpec spec_;
  std::vector<double> sigmas_;
  // By step and by how many predictions are known before it (at most order − 1 matter).
  struct Step {
    std::vector<Sum> predict, correct;  // by order − 1
  };
  std::vector<Step> steps_;
};

}  // namespace zoetrope
