// What a model sees of pictures that the clip is to show again.
#include "runtime/engine/stage.h"
#include "runtime/engine/stages/square_picture.h"

namespace zoetrope {
namespace {

NamedType input_of(const ReferenceFeatures& s, int64_t pictures) {
  return {s.input, {DType::kF32, {pictures, s.size, s.size, 3}}};
}
NamedType output_of(const ReferenceFeatures& s, int64_t pictures) {
  return {s.output, {DType::kF32, {pictures, kAnyExtent, kAnyExtent}}};
}

TensorType given(const ReferenceFeatures& s, const Graph& bound) {
  for (const GraphOutput& out : bound.outputs)
    if (out.name == s.output) {
      const Shape& shape = bound.value(out.value).type.shape;
      return {DType::kF32, {1, shape[0], shape[1], shape[2]}};
    }
  return {};
}

Status check(const Stage& stage, CheckContext* c) {
  const auto& s = std::get<ReferenceFeatures>(stage);
  for (const int64_t pictures : {int64_t{1}, int64_t{s.most}})
    ZT_RETURN_IF_ERROR(c->check(s.component, {input_of(s, pictures)}, {output_of(s, pictures)}));
  ZT_ASSIGN_OR_RETURN(const Graph* graph, c->component(s.component));
  ZT_ASSIGN_OR_RETURN(const Bindings bindings, infer_bindings(*graph, {input_of(s, s.most)}));
  ZT_ASSIGN_OR_RETURN(const Graph bound, zoetrope::bind(*graph, bindings));
  c->values[s.gives] = given(s, bound);
  return Status();
}

Status plan(const Stage& stage, PlanContext* c) {
  const auto& s = std::get<ReferenceFeatures>(stage);
  const auto pictures = static_cast<int64_t>(c->request.known.references.size());
  if (pictures < 1 || pictures > s.most)
    return error(Code::kInvalidArgument, pictures,
                 " pictures to show again; this model takes 1 to ", s.most, " (--reference)");
  ZT_ASSIGN_OR_RETURN(const Job* job, c->add({.name = "look at pictures",
                                              .component = s.component,
                                              .inputs = {input_of(s, pictures)},
                                              .outputs = {output_of(s, pictures)}}));
  return c->give(s.gives, given(s, job->plan->graph));
}

Status run(const Stage& stage, RunContext* c) {
  const auto& s = std::get<ReferenceFeatures>(stage);
  std::vector<float> pictures;
  for (const ReferencePicture& p : c->request.known.references) {
    if (p.width < 1 || p.height < 1 ||
        static_cast<int64_t>(p.pixels.size()) != p.width * p.height * 3)
      return error(Code::kInvalidArgument, "a picture to show again: ", p.pixels.size(),
                   " bytes; expected ", p.width, "x", p.height, " RGB");
    const std::vector<float> seen = square_picture({p.pixels.data(), p.width, p.height}, s.size,
                                                   /*cover=*/true, /*antialias=*/true);
    pictures.insert(pictures.end(), seen.begin(), seen.end());
  }
  const Job& job = *c->plan.find(c->stage);
  ZT_ASSIGN_OR_RETURN(const SessionLease lease, c->open(job));
  StageValue out = StageValue::make(given(s, job.plan->graph));
  ZT_RETURN_IF_ERROR(lease.use([&](Session& session) -> Status {
    session.reset_states();
    ZT_RETURN_IF_ERROR(session.set_input(s.input, std::span<const float>(pictures)));
    ZT_RETURN_IF_ERROR(session.run());
    return session.get_output(s.output, out.bytes.data(), out.type.bytes());
  }));
  c->values[s.gives] = std::move(out);
  return c->report(job.task, 1, 1);
}

}  // namespace

const StageDef kReferenceFeaturesStage{check, plan, run};

}  // namespace zoetrope
