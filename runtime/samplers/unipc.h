// UniPC (arXiv 2302.04867) for flow matching: a predictor of the clean sample from the last few
// evaluations, corrected by each new one; one evaluation a step. As diffusers'
// UniPCMultistepScheduler with flow sigmas and predictions of x_0 steps.
#pragma once

#include <span>
#include <vector>

#include "graph/status.h"

namespace zoetrope {

struct UniPcSpec {
  int order = 2;         // 1 to 3; the first and last steps have less
  bool bh2 = true;       // B(h) = e^h − 1; else B(h) = h
  bool corrects = true;  // else the predictor alone; of order 2 with bh2 that is DPM-Solver++ 2M
};

// What a run carries from step to step, so that it can be saved and go on elsewhere.
struct UniPcState {
  std::vector<std::vector<float>> starts;  // predictions of x_0, newest first
  std::vector<float> before;               // the sample that the last step began with, corrected
};

// The coefficients of every step, computed once. Immutable, so any thread may use it.
class UniPcSampler {
 public:
  // `sigmas`: falling from below 1, the last 0.
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
