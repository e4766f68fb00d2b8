#include "runtime/engine/resume.h"

#include <algorithm>

#include "runtime/samplers/flow.h"

namespace zoetrope {
namespace {

template <typename... Args>
Status refuse(const Args&... args) {
  return error(Code::kDataLoss, "the state to go on from: ", args...);
}

// Predictions that a multistep solver has kept when step `next` begins.
size_t predictions_kept(const Denoise& denoise, int first, int next) {
  const auto* flow = std::get_if<FlowSampler>(&denoise.sampler);
  if (flow == nullptr || !steps_in_logarithms(flow->solver)) return 0;
  const int order = flow->solver == FlowSolver::kUniPc ? flow->order : 2;
  return static_cast<size_t>(std::min(order, next - first));
}

}  // namespace

Status check_resume(const Recipe& recipe, const Request& request, const RequestPlan& plan) {
  const DenoiseState& s = request.resume->state;
  if (s.steps != plan.denoise.steps)
    return error(Code::kInvalidArgument, "the latents are of a schedule of ", s.steps,
                 " steps and cannot go on in one of ", plan.denoise.steps,
                 "; leave the steps as they were, or begin anew");
  if (s.first != plan.first_step || s.step < s.first || s.step > s.steps)
    return refuse("step ", s.step, " of ", s.first, " to ", s.steps, "; this request begins at ",
                  plan.first_step);
  size_t size = 0;
  for (const Denoise::Stream& stream : plan.denoise.streams) {
    const Shape shape = denoised_shape(plan.denoise, *recipe.find_latents(stream.latents),
                                       plan.shape, plan.samples);
    size += static_cast<size_t>(shape.elements());
  }
  if (s.latents.size() != size)
    return refuse(s.latents.size(), " latents; this request has ", size);
  const size_t kept = predictions_kept(plan.denoise, s.first, s.step);
  if (s.solver.starts.size() != kept || (kept > 0) == s.solver.before.empty())
    return refuse("its solver kept ", s.solver.starts.size(), " predictions; this request's keeps ",
                  kept);
  for (const std::vector<float>& start : s.solver.starts)
    if (start.size() != size) return refuse("a prediction of ", start.size(), " latents");
  if (kept > 0 && s.solver.before.size() != size)
    return refuse("a sample of ", s.solver.before.size(), " latents");
  return Status();
}

Result<bool> is_given(const ResumePoint& point, const std::map<std::string, TensorType>& before,
                      const std::map<std::string, TensorType>& after) {
  bool all = true;
  for (const auto& [name, type] : after) {
    if (before.contains(name)) continue;
    const auto held = point.values.find(name);
    if (held == point.values.end()) {
      all = false;
      continue;
    }
    const StageValue& value = held->second;
    if (!(value.type == type) || static_cast<int64_t>(value.bytes.size()) != type.bytes())
      return refuse("'", name, "' is ", value.type.to_string(), " in ", value.bytes.size(),
                    " bytes; this request's is ", type.to_string());
  }
  return all;
}

}  // namespace zoetrope
