// The network behind denoising: sessions, rows, guidance. Host tensors are stream by stream, each
// with its samples one after the other.
#pragma once

#include <span>
#include <vector>

#include "runtime/engine/stage.h"

namespace zoetrope {

class Denoiser {
 public:
  // Opens the plan's sessions and gives them all that does not change from step to step. `c` must
  // outlive it.
  Status open(RunContext* c);

  size_t elements() const { return elements_; }
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
    std::vector<float> rows;  // scratch
  };
  Status set_conditions(Session& session, int64_t first, int64_t count) const;
  Status run_part(Part* part, double t, std::span<const float> x);
  Status call(Session& session, Part* part, double t, std::span<const float> x);
  void guide(std::span<float> out, std::span<float> variance) const;

  RunContext* c_ = nullptr;
  std::vector<Part> parts_;
  bool one_session_ = false;  // parts take turns on it
  size_t elements_ = 0;
  std::vector<size_t> offsets_, sizes_;  // by stream, of all samples
  std::vector<size_t> factor_;           // by stream: output channels by latents' channels, 1 or 2
  // Network outputs, [rows of the batch, ...] by stream.
  std::vector<std::vector<float>> outputs_;
};

}  // namespace zoetrope
