// Causal coders of video: the first latent by one component, later ones by another, some a call,
// with the states handed on. Any length takes the memory of one call. Frames too large for the
// budget go through in tiles of rows and columns, each through the whole clip: a decoder's frames
// then wait on the host until the last tile is done.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "runtime/engine/stage.h"

namespace zoetrope {

// `first` and `component` of a stage. An encoder takes pixels [1, frames, height, width, 3] and
// gives latents [1, time, rows, columns, channels]; a decoder the other way.
struct CausalCoder {
  std::string first, component, input, output;
  bool encodes = false;
};

// Whether both parts take and give what the recipe says, and have the same states.
Status check_causal_coder(const CausalCoder& coder, const LatentSpec& spec, CheckContext* context);

// How a clip of `latents` latents passes through: the jobs' keys are these, and of the first part
// less than 0.
struct CoderPass {
  std::string name;  // of the jobs
  int64_t latents = 1;
  TileSpec tiles = {};  // along rows and columns; shorter where the budget asks for it
  // Later latents a call, at most: calls are equally long. Automatic: as many as are cheap.
  int64_t latents_a_call = kAutomaticTile;
};
Status plan_causal_coder(const CausalCoder& coder, const LatentSpec& spec, const CoderPass& pass,
                         PlanContext* context);

// The calls of one pass, in order.
class CoderCalls {
 public:
  static Result<CoderCalls> open(const CausalCoder& coder, int64_t latents, RunContext* context);

  // Latents of call `i`: 1, and then as planned.
  int64_t latents(int64_t i) const { return i == 0 ? 1 : a_call_; }
  int64_t count() const;  // of calls a clip
  // Adds what waits on the host to the peak, where that is the device's memory.
  void count_host() const;
  const TilePlan& rows() const { return first_job_->rows; }
  const TilePlan& columns() const { return first_job_->columns; }

  // The next call is the clip's first one.
  Status begin();
  // Takes and gives what the graphs do.
  Status call(std::span<const float> input, std::vector<float>* output);

 private:
  Status run(const SessionLease& lease, std::span<const float> input, std::vector<float>* output);
  Status open_later();

  CausalCoder coder_;
  RunContext* c_ = nullptr;
  const Job *first_job_ = nullptr, *later_job_ = nullptr;  // later: null where there is one latent
  int64_t latents_ = 1, a_call_ = 1, next_ = 0;
  bool in_turn_ = false;  // only one of the two fits the device at a time
  std::optional<SessionLease> first_, later_;
};

// Rows [top, top + rows) and columns [left, left + columns) of frames [.., height, width,
// channels].
std::vector<float> cut_frames(std::span<const float> frames, int64_t height, int64_t width,
                              int64_t channels, int64_t top, int64_t left, int64_t rows,
                              int64_t columns);

}  // namespace zoetrope
