// What a person asks of a model: the same for planning and for running.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include "graph/dtype.h"
#include "graph/shape.h"
#include "graph/status.h"
#include "graph/weights.h"
#include "runtime/engine/clip_shape.h"
#include "runtime/engine/denoise_state.h"
#include "runtime/engine/known_media.h"

namespace zoetrope {

class CallTrace;
struct Job;

enum class GuidanceMode : uint8_t {
  kBatched,     // what is wanted and what is not in one call of twice the rows
  kSequential,  // one after the other: half the activations
};

inline constexpr int64_t kAutomaticTile = 0;
inline constexpr int64_t kWholeClip = -1;

struct Request {
  // Of models that read text.
  std::string prompt, negative;
  // Of models of classes: a picture for each, by number or by one of its names.
  std::vector<std::string> classes;

  ClipRequest clip;
  KnownMedia known;
  // A picture to start from rather than from noise alone: the larger `strength` (above 0, at most
  // 1), the less of it is left.
  KnownFrames start;
  double strength = 0.8;

  uint64_t seed = 0;
  int steps = 0;         // 0: the recipe's
  double guidance = -1;  // negative: the recipe's; 1 switches guidance off
  // Of the recipe's experts, in their order; empty: as `guidance`, or the recipe's.
  std::vector<double> expert_guidance;
  GuidanceMode guidance_mode = GuidanceMode::kBatched;
  std::string solver;    // empty: the recipe's
  std::string schedule;  // of flow matching; empty: the recipe's
  double shift = 0;      // of flow matching; 0: the recipe's
  std::string spacing;   // of diffusion; empty: the recipe's
  double eta = -1;       // of diffusion; negative: the recipe's
  // Starts from these latents (stream by stream, channels last) instead of the seed's noise: for
  // parity with other programs. Empty: the seed decides.
  std::vector<float> noise;

  // Goes on from here, in place of beginning. The request must be the one that came by this state,
  // but for what may change between steps: text, guidance, devices. Null: from the start.
  std::shared_ptr<const ResumePoint> resume;

  // In place of the model's own: the same tensors, some of them adapted (graph/low_rank.h). What
  // has the same revision is not loaded again; what it loads carries an owner or is the model's
  // own. Null: the model's.
  std::shared_ptr<const WeightSource> weights;

  DType compute = DType::kF32;
  bool fuse = true;           // plans of fused operations; else node by node, for comparisons
  int64_t memory_budget = 0;  // bytes on each device; 0: what the device has
  // Latents that the picture's decoder takes at once. Automatic: the recipe's, or fewer where the
  // budget asks for it. Whole also decodes the sound in one piece.
  int64_t decode_tile = kAutomaticTile;
};

// Receives a clip as it is decoded, or pictures one after the other. Called by the thread that
// called Engine::run.
class ClipSink {
 public:
  virtual ~ClipSink() = default;
  // pixels [count, height, width, 3] u8 RGB, in order.
  virtual Status frames(const uint8_t* pixels, int64_t count) = 0;
  // Interleaved samples in [-1, 1], in order.
  virtual Status audio(const float* samples, int64_t count) = 0;
};

// Drops all: of runs whose clip nobody keeps.
class NoSink : public ClipSink {
 public:
  Status frames(const uint8_t*, int64_t) override { return Status(); }
  Status audio(const float*, int64_t) override { return Status(); }
};

// Something that a stage has made, valid during the call that shows it.
struct Observation {
  std::string_view stage;  // its kind: "encode_text", "denoise", ...
  // A value's name, "noise", "step 3" (latents after it, of how many: `steps`), or the name of
  // latents when denoising is done.
  std::string name;
  const TensorType& type;
  const void* data;
  int step = 0, steps = 0;
};

struct RunHooks {
  // Progress of a task ("load", "denoise", "decode video", ...); false cancels. Called by the
  // thread that called Engine::run.
  std::function<bool(std::string_view task, double done, double total)> progress;
  // Things a person should know: truncated prompts, unknown words.
  std::function<void(const std::string& text)> notice;
  // Sees what stages make, in their order, up to the latents: frames and sound go to the sink. An
  // error ends the run.
  std::function<Status(const Observation&)> observe;
  // Sees the kernel calls of a job's sessions where it gives a trace, which must outlive the run.
  std::function<CallTrace*(const Job&)> trace;
  // Before the first step that is taken and after each, and what earlier stages gave: the same
  // every time. Called by the thread that called Engine::run; valid during the call. An error ends
  // the run. kUnsupported where the network itself carries a state from step to step.
  std::function<Status(const DenoiseState& state, const StageValues& values)> state;
  // Sees the network's guided output at each evaluation, and may change it: measuring another model
  // on this one's way does.
  std::function<Status(double time, std::span<float> output)> evaluated;
  // After each step: what the latents would be if the network were right already, stream by stream.
  // Valid during the call.
  std::function<void(std::span<const float> latents, int step, int steps)> denoised;
  // Cancels from any thread: heard between steps, frames and weights.
  std::stop_token stop;
};

struct RunStats {
  double load_seconds = 0;        // plan, load and pack, all components
  double first_step_seconds = 0;  // from the call to the first denoising step's begin
  double denoise_seconds = 0, decode_seconds = 0, total_seconds = 0;
  int64_t planned_peak_bytes = 0;  // of the device that holds most
  int64_t peak_bytes = 0;          // what was really held there, at most
};

}  // namespace zoetrope
