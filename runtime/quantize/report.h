// What a quantisation costs: made by every one of them, stored in the file that it writes.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "graph/status.h"
#include "runtime/report/page.h"

namespace zoetrope {

struct QuantizeReport {
  // ‖w − ŵ‖ / ‖w‖ of a weight and what it takes as stored.
  struct Layer {
    std::string weight, format;
    double error = 0;
    int64_t original_bytes = 0, bytes = 0;
  };
  // A clip of the original and one of the quantised model, from the same seed. `loss`: along the
  // original's way from noise to latents, ‖v − v̂‖² / ‖v‖² of the network's guided output.
  struct Clip {
    std::string prompt;
    uint64_t seed = 0;
    double loss = 0, psnr = 0, ssim = 0;
    double snr = 0;  // of the sound; 0: there is none
  };
  // What rounding and the search were fitted to: other seeds than those of `clips`.
  struct Calibration {
    std::string prompt;
    uint64_t seed = 0;
  };
  // The loss at a time of the schedule, over all clips.
  struct Step {
    double time = 0, loss = 0;
  };
  // What a program that judges clips says of both, 0 to 1.
  struct Rate {
    std::string name;
    double original = 0, quantized = 0;
  };
  // Of a search: the loss with this layer alone in the format, and whether it got more bits.
  struct Sensitivity {
    std::string layer;
    double loss = 0;
    bool spared = false;
  };
  // What must hold for the file to be written; 0: nothing is asked.
  struct Gate {
    double max_loss = 0, min_psnr = 0, max_drop = 0;
    double target_psnr = 0;  // of a search, which met it on the calibration's clips
    double max_attention_loss = 0;
    bool asks() const {
      return max_loss > 0 || min_psnr > 0 || max_drop > 0 || target_psnr > 0 ||
             max_attention_loss > 0;
    }
  };

  std::string format, compute, device;
  int64_t group = 0;
  // int4: weights of which errors of rounding make up for each other (graph/compensate.h).
  int64_t compensated_weights = 0;
  // int8: weights of which rows are turned before they are rounded (graph/rotation.h).
  int64_t turned_weights = 0;
  int64_t attentions = 0;  // that may be of 8 bits
  // The loss of attention in 8 bits alone, over the first clips. None: the device multiplied
  // exactly, or nothing was measured.
  std::optional<double> attention_loss;
  std::vector<std::string> components, keep;
  int64_t original_bytes = 0, bytes = 0;  // of all tensors
  std::vector<Layer> layers;
  std::vector<Clip> clips;
  std::vector<Calibration> calibration;  // empty: nothing was fitted
  int64_t calibration_steps = 0;         // of each, which rounding was fitted to; 0: it was not
  std::vector<Step> steps;
  std::vector<Rate> rates;
  std::vector<std::string> missing_rates;  // of the original's, without one of the quantised model
  std::vector<Sensitivity> sensitivity;    // worst for its size first; empty: no search
  Gate gate;
  std::vector<std::string> failures;  // of the gate, in words
  bool forced = false;                // written although there are some

  double mean_loss() const;
  double mean_psnr() const;
  double worst_drop() const;
};

std::string percent_text(double share);  // "12.34%"

// Fills in failures. What was asked for and not measured fails.
void apply_gate(QuantizeReport* report);

std::string report_to_json(const QuantizeReport& report);
// Strict: the text may be hostile.
Result<QuantizeReport> parse_report(const std::string& text);

// For a terminal: a few lines, and the worst layers.
std::string report_to_text(const QuantizeReport& report);
Page report_page(const QuantizeReport& report, const std::string& model);

}  // namespace zoetrope
