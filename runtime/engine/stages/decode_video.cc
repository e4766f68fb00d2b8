// Latents to frames, tile by tile into the sink.
#include "runtime/engine/stages/decode.h"

namespace zoetrope {
namespace {

Status check(const Stage& stage, CheckContext* c) {
  return check_decoder(std::get<DecodeVideo>(stage), c);
}

Status plan(const Stage& stage, PlanContext* c) {
  return plan_decoder(std::get<DecodeVideo>(stage), "decode video", c);
}

Status run(const Stage& stage, RunContext* c) {
  const auto& s = std::get<DecodeVideo>(stage);
  const LatentSpec& spec = *c->model.recipe.find_latents(s.latents);
  const ClipShape& clip = c->plan.shape;
  const int64_t stride = clip.latent_width * spec.pixels * 3;
  const int64_t frame_elements = clip.latent_height * spec.pixels * stride;
  std::vector<uint8_t> frame(static_cast<size_t>(clip.height * clip.width * 3));
  int64_t written = 0;
  const auto report = [&] {
    return c->report("decode video", static_cast<double>(written),
                     static_cast<double>(clip.frames));
  };
  // Frames beyond the clip are those of its last latent.
  const EmitValues emit = [&](std::span<float> values) -> Status {
    const int64_t count = static_cast<int64_t>(values.size()) / frame_elements;
    for (int64_t f = 0; f < count && written < clip.frames; ++f) {
      crop_to_bytes(values.data() + f * frame_elements, stride, clip, frame);
      ZT_RETURN_IF_ERROR(c->sink.frames(frame.data(), 1));
      ++written;
      ZT_RETURN_IF_ERROR(report());
    }
    return Status();
  };
  std::vector<float> latents = std::move(c->latents[s.latents]);
  if (s.first.empty()) {
    const Job& job = *c->plan.find(c->stage);
    ZT_ASSIGN_OR_RETURN(const SessionLease lease, c->open(job));
    ZT_RETURN_IF_ERROR(decode_latents(s, spec, std::move(latents), job, lease, c, emit));
  } else {
    ZT_RETURN_IF_ERROR(decode_causally(s, spec, std::move(latents), c, emit));
  }
  ZT_CHECK(written == clip.frames);  // the plan's shapes say so
  return Status();
}

}  // namespace

const StageDef kDecodeVideoStage{check, plan, run};

}  // namespace zoetrope
