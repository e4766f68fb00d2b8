// A picture or clip to start denoising from: encoded once, the same for every sample.
#include "runtime/engine/stages/latents.h"

namespace zoetrope {
namespace {

EncoderNames names(const StartPicture& s) {
  return {s.component, s.input, s.output, s.first, s.reduced};
}

Status check(const Stage& stage, CheckContext* c) {
  const auto& s = std::get<StartPicture>(stage);
  const LatentSpec& spec = *c->model.recipe.find_latents(s.latents);
  return check_frame_encoder(names(s), spec, {c->shape.frames}, c);
}

Status plan(const Stage& stage, PlanContext* c) {
  const auto& s = std::get<StartPicture>(stage);
  if (c->request.start.frames == 0) return Status();
  const ClipShape& shape = c->plan.shape;
  if (c->request.start.frames != shape.frames)
    return error(Code::kInvalidArgument, "what to start from has ", c->request.start.frames,
                 " frames; expected ", shape.frames);
  const LatentSpec& spec = *c->model.recipe.find_latents(s.latents);
  return plan_frame_encoder(names(s), spec, shape.frames, c);
}

Status run(const Stage& stage, RunContext* c) {
  const auto& s = std::get<StartPicture>(stage);
  const KnownFrames& start = c->request.start;
  if (start.frames == 0) return Status();
  ZT_RETURN_IF_ERROR(check_pixels("the picture to start from", start, c->plan.shape));
  const LatentSpec& spec = *c->model.recipe.find_latents(s.latents);
  ZT_ASSIGN_OR_RETURN(c->start[s.latents], encode_frames(names(s), spec, start.frames,
                                                         frames_from(start, c->plan.shape), c));
  return Status();
}

}  // namespace

const StageDef kStartPictureStage{check, plan, run};

}  // namespace zoetrope
