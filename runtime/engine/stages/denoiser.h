// The networks behind denoising: sessions, rows, guidance. Host tensors are stream by stream, each
// with its samples one after the other.
#pragma once

#include <span>
#include <vector>

#include "runtime/engine/stage.h"
#include "runtime/engine/time_windows.h"

namespace zoetrope {

// The stage's conditions, and the times of key frames where there are any.
std::vector<Denoise::Condition> conditions_of(const Denoise& s, const ClipShape& shape);

// The latents of which the stage's condition `value` says something, one after the other along
// time; null: of the clip as a whole.
const LatentSpec* latents_of_value(const Recipe& recipe, const std::string& value);

// What progress of a stage is told under: of the first that denoises, and of later ones.
std::string task_of(const RequestPlan& plan, const DenoisePlan& pass);

// Runs the stage of the context.
Status run_denoising(RunContext* c);

// A job's key: of a network's whole step, or of one half of it.
inline int64_t denoise_key(size_t network, size_t half) {
  return static_cast<int64_t>(2 * network + half);
}

class Denoiser {
 public:
  // Both must outlive it.
  void open(RunContext* c, const DenoisePlan& pass);
  // Evaluates this network from here on: gives the last one's sessions back, so that they go where
  // memory is short, opens those of its plan and gives them all that does not change from step to
  // step.
  Status take(size_t network);
  // Where calls see the clip in windows: those of this step, from here on.
  void at_step(int step);

  size_t elements() const { return elements_; }
  // The time of stream `index` where the network is told t.
  double time_of(size_t index, double t) const {
    const auto& own = pass_->stream_points;
    return own.empty() ? t : own[index].times[pass_->step_at(t)];
  }
  // The part of a whole that is stream `index`.
  std::span<float> stream(size_t index, std::span<float> whole) const {
    return whole.subspan(offsets_[index], sizes_[index]);
  }

  // The network's output at time t, guided. `variance`: the second half of its channels, or empty.
  Status evaluate(double t, std::span<const float> x, std::span<float> out,
                  std::span<float> variance);

 private:
  // Rows [first, first + count) of the batch on one session.
  struct Part {
    SessionLease lease;
    int64_t first = 0, count = 1;
    double time_set = 0;
    bool has_time = false;
    std::vector<float> rows, seen;  // scratch
  };
  // All but what is set window by window.
  Status set_conditions(Session& session, int64_t first, int64_t count) const;
  Status set_condition(Session& session, const Denoise::Condition& condition, int64_t first,
                       int64_t count, const TimeWindow* window) const;
  Status run_part(Part* part, double t, std::span<const float> x);
  Status call(Session& session, Part* part, double t, std::span<const float> x);
  Status see(Session& session, Part* part, size_t window, std::span<const float> x);
  void guide(double t, std::span<const float> x, std::span<float> out,
             std::span<float> variance) const;
  void guide_stream(size_t i, std::span<float> out, std::span<float> variance) const;
  void rescale_stream(size_t i, double t, std::span<const float> x, std::span<float> out) const;

  const NetworkPlan& network() const { return pass_->networks[network_]; }
  int64_t rows() const { return network().blocks() * c_->plan.samples; }
  // Of a value with a row for what is wanted and one for what is not, that of row r.
  int64_t row_of(int64_t r) const {
    const size_t weak = weaker_of(r);
    if (weak == SIZE_MAX) return r;
    const bool unwanted =
        network().guided() && pass_->denoise.weaker[network().weaker[weak]].unwanted;
    return r % c_->plan.samples + (unwanted ? c_->plan.samples : 0);
  }
  // The weaker rows that row r is of, by place in NetworkPlan::weaker; none: SIZE_MAX.
  size_t weaker_of(int64_t r) const {
    const int64_t block = r / c_->plan.samples - (network().guided() ? 2 : 1);
    return block < 0 ? SIZE_MAX : static_cast<size_t>(block);
  }

  RunContext* c_ = nullptr;
  const DenoisePlan* pass_ = nullptr;
  size_t network_ = 0;  // that parts_ are of, if there are any
  std::vector<Part> parts_;
  bool one_session_ = false;  // parts take turns on it
  size_t elements_ = 0;
  std::vector<size_t> offsets_, sizes_;  // by stream, of all samples
  std::vector<size_t> factor_;           // by stream: output channels by latents' channels, 1 or 2
  // Network outputs, [rows of the batch, ...] by stream.
  std::vector<std::vector<float>> outputs_;
  // By stream and call; empty: one call sees all as it stands.
  std::vector<std::vector<TimeWindow>> windows_;
};

}  // namespace zoetrope
