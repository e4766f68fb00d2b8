// What a model sees of the first frame, or of the first and the last one.
#include <algorithm>

#include "runtime/engine/stages/latents.h"
#include "runtime/engine/stages/square_picture.h"

namespace zoetrope {
namespace {

NamedType input_of(const ImageFeatures& s) {
  return {s.input, {DType::kF32, {s.pictures, s.size, s.size, 3}}};
}

NamedType output_of(const ImageFeatures& s) {
  return {s.output, {DType::kF32, {s.pictures, kAnyExtent, kAnyExtent}}};
}

// Of all pictures, one behind the other.
TensorType joined(const ImageFeatures& s, const Graph& bound) {
  for (const GraphOutput& out : bound.outputs)
    if (out.name == s.output) {
      const Shape& shape = bound.value(out.value).type.shape;
      return {DType::kF32, {1, shape[0] * shape[1], shape[2]}};
    }
  return {};
}

Status check(const Stage& stage, CheckContext* c) {
  const auto& s = std::get<ImageFeatures>(stage);
  ZT_RETURN_IF_ERROR(c->check(s.component, {input_of(s)}, {output_of(s)}));
  ZT_ASSIGN_OR_RETURN(const Graph* graph, c->component(s.component));
  ZT_ASSIGN_OR_RETURN(const Bindings bindings, infer_bindings(*graph, {input_of(s)}));
  ZT_ASSIGN_OR_RETURN(const Graph bound, zoetrope::bind(*graph, bindings));
  c->values[s.gives] = joined(s, bound);
  return Status();
}

Status plan(const Stage& stage, PlanContext* c) {
  const auto& s = std::get<ImageFeatures>(stage);
  ZT_RETURN_IF_ERROR(require_first_frame(c->request.known));
  if (s.pictures == 2 && !c->request.known.has_last())
    return error(Code::kInvalidArgument,
                 "this model looks at the first and the last frame: give the last one too "
                 "(--last-image)");
  ZT_ASSIGN_OR_RETURN(const Job* job, c->add({.name = "look at pictures",
                                              .component = s.component,
                                              .inputs = {input_of(s)},
                                              .outputs = {output_of(s)}}));
  return c->give(s.gives, joined(s, job->plan->graph));
}

void look(const ImageFeatures& s, const uint8_t* pixels, const ClipShape& clip,
          std::vector<float>* out) {
  const std::vector<float> seen = square_picture({pixels, clip.width, clip.height}, s.size,
                                                 s.fit == ImageFeatures::Fit::kCover, s.antialias);
  out->insert(out->end(), seen.begin(), seen.end());
}

Status run(const Stage& stage, RunContext* c) {
  const auto& s = std::get<ImageFeatures>(stage);
  const ClipShape& clip = c->plan.shape;
  ZT_ASSIGN_OR_RETURN(const std::vector<const uint8_t*> frames,
                      find_frames(c->request.known, clip));
  std::vector<float> pictures;
  look(s, frames.front(), clip, &pictures);
  if (s.pictures == 2) look(s, frames.back(), clip, &pictures);
  const Job& job = *c->plan.find(c->stage);
  ZT_ASSIGN_OR_RETURN(const SessionLease lease, c->open(job));
  StageValue out = StageValue::make(joined(s, job.plan->graph));
  ZT_RETURN_IF_ERROR(lease.use([&](Session& session) -> Status {
    session.reset_states();
    ZT_RETURN_IF_ERROR(session.set_input(s.input, std::span<const float>(pictures)));
    ZT_RETURN_IF_ERROR(session.run());
    return session.get_output(s.output, out.bytes.data(), out.type.bytes());
  }));
  ZT_RETURN_IF_ERROR(c->report(job.task, 1, 1));
  c->values[s.gives] = std::move(out);
  return Status();
}

}  // namespace

const StageDef kImageFeaturesStage{check, plan, run};

}  // namespace zoetrope
