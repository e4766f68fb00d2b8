// Latents to samples, tile by tile into the sink.
#include <algorithm>

#include "runtime/engine/stages/decode.h"

namespace zoetrope {
namespace {

Status check(const Stage& stage, CheckContext* c) {
  return check_decoder(std::get<DecodeSound>(stage), c);
}

Status plan(const Stage& stage, PlanContext* c) {
  return plan_decoder(std::get<DecodeSound>(stage), "decode sound", c);
}

Status run(const Stage& stage, RunContext* c) {
  const auto& s = std::get<DecodeSound>(stage);
  const LatentSpec& spec = *c->model.recipe.find_latents(s.latents);
  const int64_t total = c->plan.shape.samples, channels = c->plan.clip.sound_channels;
  int64_t written = 0;
  const auto report = [&] {
    return c->report("decode sound", static_cast<double>(written), static_cast<double>(total));
  };
  // Samples beyond the clip are those of its last latent.
  const EmitValues emit = [&](std::span<float> values) -> Status {
    for (float& x : values) x = std::clamp(x, -1.0f, 1.0f);
    const int64_t count = std::min(static_cast<int64_t>(values.size()) / channels, total - written);
    if (count > 0) ZT_RETURN_IF_ERROR(c->sink.audio(values.data(), count));
    written += count;
    return report();
  };
  const Job& job = *c->plan.find(c->stage);
  ZT_ASSIGN_OR_RETURN(const SessionLease lease, c->open(job));
  ZT_RETURN_IF_ERROR(
      decode_latents(s, spec, std::move(c->latents[s.latents]), job, lease, c, emit));
  std::vector<float> silence;  // where latents end before the clip
  while (written < total) {
    silence.assign(static_cast<size_t>(std::min<int64_t>(total - written, spec.samples) * channels),
                   0.0f);
    ZT_RETURN_IF_ERROR(emit(silence));
  }
  return Status();
}

}  // namespace

const StageDef kDecodeSoundStage{check, plan, run};

}  // namespace zoetrope
