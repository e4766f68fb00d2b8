#include "runtime/samplers/flow.h"

#include <optional>

namespace zoetrope {
namespace {

void axpy(float a, std::span<const float> v, std::span<const float> x, std::span<float> out) {
  for (size_t i = 0; i < out.size(); ++i) out[i] = x[i] + a * v[i];
}

// One run of a solver and its scratch.
class FlowRun {
 public:
  static Result<FlowRun> create(const FlowSampler& sampler, const FlowPoints& points,
                                const Velocity& velocity, const StepNoise& noise, size_t size) {
    FlowRun run(sampler, points, velocity, noise);
    if (steps_in_logarithms(sampler.solver)) {
      const bool unipc = sampler.solver == FlowSolver::kUniPc;
      UniPcSpec spec;  // DPM-Solver++ 2M is UniPC's predictor of order 2 without its corrector
      spec.order = unipc ? sampler.order : 2;
      spec.bh2 = !unipc || sampler.unipc_b == UniPcB::kBh2;
      spec.corrects = unipc;
      ZT_ASSIGN_OR_RETURN(run.multistep_, UniPcSampler::create(spec, points.sigmas));
    }
    run.v_.resize(size);
    if (evaluations_per_step(sampler.solver) > 1) run.v2_.resize(size), run.middle_.resize(size);
    if (needs_noise(sampler.solver)) run.fresh_.resize(size);
    return run;
  }

  Status step(int i, UniPcState* state, std::span<float> x) {
    const auto at = static_cast<size_t>(i);
    const double t = points_.sigmas[at], next = points_.sigmas[at + 1];
    const auto h = static_cast<float>(next - t);  // negative
    ZT_RETURN_IF_ERROR(velocity_(points_.times[at], x, v_));
    switch (sampler_.solver) {
      case FlowSolver::kEuler: axpy(h, v_, x, x); break;
      case FlowSolver::kMidpoint:
        axpy(h / 2, v_, x, middle_);
        ZT_RETURN_IF_ERROR(velocity_(second_told(at), middle_, v2_));
        axpy(h, v2_, x, x);
        break;
      case FlowSolver::kHeun:
        axpy(h, v_, x, middle_);
        ZT_RETURN_IF_ERROR(velocity_(second_told(at), middle_, v2_));
        for (size_t k = 0; k < x.size(); ++k) x[k] += h * 0.5f * (v_[k] + v2_[k]);
        break;
      case FlowSolver::kUniPc:
      case FlowSolver::kDpmpp2m: multistep_->step(i, v_, state, x); break;
      case FlowSolver::kDmd:
        axpy(static_cast<float>(-t), v_, x, x);  // the predicted result
        if (next == 0) break;
        noise_(i, fresh_);
        for (size_t k = 0; k < x.size(); ++k)
          x[k] = static_cast<float>((1 - next) * x[k] + next * fresh_[k]);
        break;
    }
    return Status();
  }

  // Of a step's second evaluation.
  static double second_told(const FlowSampler& sampler, const FlowPoints& points, size_t at) {
    const double t = points.sigmas[at], next = points.sigmas[at + 1];
    if (sampler.solver == FlowSolver::kMidpoint) return told_at(sampler, (t + next) / 2);
    return at + 1 < points.times.size() ? points.times[at + 1] : 0;
  }

 private:
  FlowRun(const FlowSampler& sampler, const FlowPoints& points, const Velocity& velocity,
          const StepNoise& noise)
      : sampler_(sampler), points_(points), velocity_(velocity), noise_(noise) {}
  double second_told(size_t at) const { return second_told(sampler_, points_, at); }

  const FlowSampler& sampler_;
  const FlowPoints& points_;
  const Velocity& velocity_;
  const StepNoise& noise_;
  std::optional<UniPcSampler> multistep_;
  std::vector<float> v_, v2_, middle_, fresh_;
};

}  // namespace

int evaluations_per_step(FlowSolver solver) {
  return solver == FlowSolver::kMidpoint || solver == FlowSolver::kHeun ? 2 : 1;
}

bool steps_in_logarithms(FlowSolver solver) {
  return solver == FlowSolver::kUniPc || solver == FlowSolver::kDpmpp2m;
}

bool needs_noise(FlowSolver solver) { return solver == FlowSolver::kDmd; }

std::vector<double> flow_evaluations(const FlowSampler& sampler, const FlowPoints& points,
                                     int first) {
  std::vector<double> told;
  for (auto i = static_cast<size_t>(first); i < points.times.size(); ++i) {
    told.push_back(points.times[i]);
    if (evaluations_per_step(sampler.solver) > 1)
      told.push_back(FlowRun::second_told(sampler, points, i));
  }
  return told;
}

Status sample_flow(const FlowSampler& sampler, const FlowPoints& points, const Velocity& velocity,
                   const StepNoise& noise, std::span<float> x, const StepObserver& observer,
                   int first, UniPcState* state) {
  UniPcState own;
  if (state == nullptr) state = &own;
  ZT_ASSIGN_OR_RETURN(FlowRun run, FlowRun::create(sampler, points, velocity, noise, x.size()));
  const int steps = static_cast<int>(points.times.size());
  for (int i = first; i < steps; ++i) {
    ZT_RETURN_IF_ERROR(run.step(i, state, x));
    if (observer && !observer(i + 1 - first, steps - first))
      return error(Code::kCancelled, "asked to stop");
  }
  return Status();
}

}  // namespace zoetrope
