#include "runtime/samplers/flow.h"

namespace zoetrope {
namespace {

void axpy(float a, std::span<const float> v, std::span<const float> x, std::span<float> out) {
  for (size_t i = 0; i < out.size(); ++i) out[i] = x[i] + a * v[i];
}

}  // namespace

int evaluations_per_step(FlowSolver solver) { return solver == FlowSolver::kEuler ? 1 : 2; }

Status sample_flow(FlowSolver solver, std::span<const double> times, const Velocity& velocity,
                   std::span<float> x, const StepObserver& observer) {
  const int steps = static_cast<int>(times.size()) - 1;
  std::vector<float> v(x.size()), v2, middle;
  if (solver != FlowSolver::kEuler) {
    v2.resize(x.size());
    middle.resize(x.size());
  }
  for (int i = 0; i < steps; ++i) {
    const double t = times[static_cast<size_t>(i)], next = times[static_cast<size_t>(i) + 1];
    const auto h = static_cast<float>(next - t);  // negative
    ZT_RETURN_IF_ERROR(velocity(t, x, v));
    switch (solver) {
      case FlowSolver::kEuler: axpy(h, v, x, x); break;
      case FlowSolver::kMidpoint:
        axpy(h / 2, v, x, middle);
        ZT_RETURN_IF_ERROR(velocity((t + next) / 2, middle, v2));
        axpy(h, v2, x, x);
        break;
      case FlowSolver::kHeun:
        axpy(h, v, x, middle);
        ZT_RETURN_IF_ERROR(velocity(next, middle, v2));
        for (size_t k = 0; k < x.size(); ++k) x[k] += h * 0.5f * (v[k] + v2[k]);
        break;
    }
    if (observer && !observer(i + 1, steps)) return error(Code::kCancelled, "cancelled");
  }
  return Status();
}

}  // namespace zoetrope
