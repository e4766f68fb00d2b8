// Latents to pictures, one sample after the other into the sink.
#include "runtime/engine/stages/decode.h"

namespace zoetrope {
namespace {

Status check(const Stage& stage, CheckContext* c) {
  return check_decoder(std::get<DecodeImage>(stage), c);
}

Status plan(const Stage& stage, PlanContext* c) {
  return plan_decoder(std::get<DecodeImage>(stage), "decode picture", c);
}

Status run(const Stage& stage, RunContext* c) {
  const auto& s = std::get<DecodeImage>(stage);
  const LatentSpec& spec = *c->model.recipe.find_latents(s.latents);
  const ClipShape& clip = c->plan.shape;
  const int64_t stride = clip.latent_width * spec.pixels * 3;
  std::vector<uint8_t> picture(static_cast<size_t>(clip.height * clip.width * 3));
  const std::vector<float> all = std::move(c->latents[s.latents]);
  const int64_t row = static_cast<int64_t>(all.size()) / c->plan.samples;
  const Job& job = *c->plan.find(c->stage);
  ZT_ASSIGN_OR_RETURN(const SessionLease lease, c->open(job));
  for (int64_t k = 0; k < c->plan.samples; ++k) {
    ZT_RETURN_IF_ERROR(
        c->report("decode picture", static_cast<double>(k), static_cast<double>(c->plan.samples)));
    const auto emit = [&](std::span<float> values) -> Status {
      crop_to_bytes(values.data(), stride, clip, picture);
      return c->sink.frames(picture.data(), 1);
    };
    std::vector<float> latents(all.begin() + k * row, all.begin() + (k + 1) * row);
    ZT_RETURN_IF_ERROR(decode_latents(s, spec, std::move(latents), job, lease, c, emit));
  }
  return c->report("decode picture", static_cast<double>(c->plan.samples),
                   static_cast<double>(c->plan.samples));
}

}  // namespace

const StageDef kDecodeImageStage{check, plan, run};

}  // namespace zoetrope
