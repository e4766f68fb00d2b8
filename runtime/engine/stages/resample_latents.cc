// Latents of pictures that some stage has made to more rows and columns, for a stage that goes on
// from them.
#include "runtime/engine/stages/latents.h"

namespace zoetrope {
namespace {

// By how much latents are still reduced behind stage `index`, and before it.
struct Change {
  Reduced from, to;
};
Change change_at(const Recipe& recipe, const std::string& latents, size_t index) {
  Change change;
  for (size_t i = 0; i <= index; ++i) {
    if (const auto* denoise = std::get_if<Denoise>(&recipe.stages[i])) change.to = denoise->reduced;
    const auto* resample = std::get_if<ResampleLatents>(&recipe.stages[i]);
    if (resample == nullptr || resample->latents != latents) continue;
    change = {change.to, change.to.grown(resample->factor, resample->divisor)};
  }
  return change;
}

JobSpec job_of(const ResampleLatents& s, const Recipe& recipe, const ClipShape& clip,
               size_t index) {
  const LatentSpec& spec = *recipe.find_latents(s.latents);
  const Change change = change_at(recipe, s.latents, index);
  const auto reduced = [&](Reduced by) {
    return TensorType{DType::kF32, latent_shape(spec, reduced_shape(clip, by), 1)};
  };
  JobSpec job;
  job.name = "resample latents";
  job.component = s.component;
  job.inputs = {{s.input, reduced(change.from)}};
  job.outputs = {{s.output, reduced(change.to)}};
  return job;
}

size_t index_of(const Recipe& recipe, const Stage& stage) {
  return static_cast<size_t>(&stage - recipe.stages.data());
}

Status check(const Stage& stage, CheckContext* c) {
  const Recipe& recipe = c->model.recipe;
  const JobSpec job =
      job_of(std::get<ResampleLatents>(stage), recipe, c->shape, index_of(recipe, stage));
  return c->check(job.component, job.inputs, job.outputs);
}

Status plan(const Stage& stage, PlanContext* c) {
  JobSpec job = job_of(std::get<ResampleLatents>(stage), c->model.recipe, c->plan.shape, c->stage);
  job.calls = static_cast<double>(c->plan.samples);
  return c->add(job).status();
}

Status run(const Stage& stage, RunContext* c) {
  const auto& s = std::get<ResampleLatents>(stage);
  const LatentSpec& spec = *c->model.recipe.find_latents(s.latents);
  std::vector<float> from = std::move(c->latents[s.latents]);
  denormalize_latents(spec, from);
  const Job& job = *c->plan.find(c->stage);
  ZT_ASSIGN_OR_RETURN(const SessionLease lease, c->open(job));
  const auto samples = static_cast<size_t>(c->plan.samples);
  const size_t row = from.size() / samples;
  std::vector<float> all;
  for (size_t k = 0; k < samples; ++k)
    ZT_RETURN_IF_ERROR(lease.use([&](Session& session) -> Status {
      session.reset_states();
      ZT_RETURN_IF_ERROR(
          session.set_input(s.input, std::span<const float>(from).subspan(k * row, row)));
      ZT_RETURN_IF_ERROR(session.run());
      const TensorType* type = session.output_type(s.output);
      const auto size = static_cast<size_t>(type->shape.elements());
      all.resize((k + 1) * size);
      return session.get_output(s.output, all.data() + k * size, type->bytes());
    }));
  normalize_latents(spec, all);
  c->latents[s.latents] = std::move(all);
  return c->report(job.task, 1, 1);
}

}  // namespace

const StageDef kResampleLatentsStage{check, plan, run};

}  // namespace zoetrope
