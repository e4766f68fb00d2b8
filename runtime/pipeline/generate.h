// The joint audio-video pipeline: tokenise → encode text → encode what is known → denoise → decode.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "runtime/component.h"
#include "runtime/pipeline/clip_shape.h"
#include "runtime/pipeline/conditioning.h"
#include "runtime/pipeline/model.h"
#include "runtime/pipeline/tile_plan.h"

namespace zoetrope {

enum class GuidanceMode {
  kBatched,     // caption and negative prompt in one call of batch two
  kSequential,  // one after the other: half the activations
};

inline constexpr int64_t kAutomaticTile = 0;
inline constexpr int64_t kWholeClip = -1;

struct GenerateOptions {
  std::string prompt;
  std::string negative;
  ClipRequest clip;
  KnownMedia known;
  uint64_t seed = 0;
  int steps = 0;         // 0: the recipe's
  double guidance = -1;  // negative: the recipe's; 1 switches guidance off
  GuidanceMode guidance_mode = GuidanceMode::kBatched;
  std::string solver;    // empty: the recipe's
  std::string schedule;  // empty: the recipe's
  double shift = 0;      // 0: the recipe's
  DType compute = DType::kF32;
  bool fuse = true;  // false: every op as the model writes it
  // Starts from these latents ([video | audio], channels last) instead of the seed's noise: for
  // parity with other programs. Empty: the seed decides.
  std::vector<float> noise;
  int64_t memory_budget = 0;  // bytes; 0: what the device has
  // Latents that the picture's decoder takes at once. Automatic: the recipe's, or fewer where the
  // budget asks for it. Whole also decodes the sound in one piece.
  int64_t decode_tile = kAutomaticTile;
};

// Receives the clip as it is decoded.
class ClipSink {
 public:
  virtual ~ClipSink() = default;
  // pixels [count, height, width, 3] u8 RGB, in order.
  virtual Status frames(const uint8_t* pixels, int64_t count) = 0;
  // Interleaved samples in [-1, 1], in order.
  virtual Status audio(const float* samples, int64_t count) = 0;
};

struct GenerateHooks {
  // Progress of a phase ("load", "text", "denoise", ...); false cancels.
  std::function<bool(std::string_view phase, double done, double total)> progress;
  // Things a person should know: truncated prompts, unknown words.
  std::function<void(const std::string& text)> notice;
};

// Everything that is decided before anything runs.
struct PipelinePlan {
  ClipShape shape;
  FlatRecipe recipe;          // with the options applied
  std::vector<double> times;  // of the schedule
  int64_t text_length = 0;
  int64_t batch = 1;  // 2 with batched guidance
  struct Phase {
    std::string name;  // "text", "encode video", "denoise", "decode video", ...
    std::string component;
    Plan plan;
    double calls = 1;  // how often kStep runs
    TilePlan tiles;    // of a decoder; empty in other phases
  };
  std::vector<Phase> phases;  // run in this order, one component resident at a time

  int64_t peak_bytes() const;  // largest total of a phase
  double estimated_seconds() const;
};

// Compiles every component for these options. Refuses, with the numbers and the nearest size that
// fits, when the budget or the device's memory cannot hold a phase.
Result<PipelinePlan> plan_pipeline(const Model& model, const GenerateOptions& options,
                                   Device& device, const CompileOptions& compile = {});

struct GenerateStats {
  double load_seconds = 0;        // compile, plan and pack, all components
  double first_step_seconds = 0;  // from the call to the first denoising step's begin
  double denoise_seconds = 0, decode_seconds = 0, total_seconds = 0;
  int64_t planned_peak_bytes = 0;  // what the plan said
  int64_t peak_bytes = 0;          // what sessions really held, at most
};

Result<GenerateStats> generate(const Model& model, const GenerateOptions& options, Device& device,
                               ClipSink& sink, const GenerateHooks& hooks = {});

std::string pipeline_plan_to_text(const PipelinePlan& plan, bool calls);
std::string pipeline_plan_to_json(const PipelinePlan& plan, bool calls);

}  // namespace zoetrope
