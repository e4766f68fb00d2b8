// What a model sees of every frame of the clip that it makes the sound of, latent by latent.
#include <algorithm>

#include "runtime/engine/stages/frame_features.h"
#include "runtime/engine/stages/latents.h"
#include "runtime/engine/stages/square_picture.h"

namespace zoetrope {
namespace {

constexpr int64_t kPicturesACall = 8;

NamedType input_of(const FrameFeatures& s, int64_t pictures) {
  return {s.input, {DType::kF32, {pictures, s.size, s.size, 3}}};
}
NamedType output_of(const FrameFeatures& s, int64_t pictures) {
  return {s.output, {DType::kF32, {pictures, kAnyExtent}}};
}

// Of one picture.
Result<int64_t> width_of(const FrameFeatures& s, const Graph& graph) {
  ZT_ASSIGN_OR_RETURN(const Bindings bindings, infer_bindings(graph, {input_of(s, 1)}));
  ZT_ASSIGN_OR_RETURN(const Graph bound, zoetrope::bind(graph, bindings));
  for (const GraphOutput& out : bound.outputs)
    if (out.name == s.output) return bound.value(out.value).type.shape[-1];
  return error(Code::kDataLoss, "component '", s.component, "' has no output '", s.output, "'");
}

TensorType given_type(int64_t rows, const ClipShape& clip, int64_t width) {
  return {DType::kF32, {rows, clip.sound_latents, width}};
}

Status check(const Stage& stage, CheckContext* c) {
  const auto& s = std::get<FrameFeatures>(stage);
  for (const int64_t pictures : {int64_t{1}, kPicturesACall})
    ZT_RETURN_IF_ERROR(c->check(s.component, {input_of(s, pictures)}, {output_of(s, pictures)}));
  ZT_ASSIGN_OR_RETURN(const Graph* graph, c->component(s.component));
  ZT_ASSIGN_OR_RETURN(const int64_t width, width_of(s, *graph));
  c->values[s.gives] = given_type(2, c->shape, width);
  return Status();
}

// Frames are those of the whole clip, up to one that rates round.
Status check_frames(const KnownFrames& video, const ClipShape& clip) {
  if (video.frames >= clip.frames - 1 && video.frames <= clip.frames + 1) return Status();
  return error(Code::kInvalidArgument, "the video has ", video.frames, " frames; the clip has ",
               clip.frames);
}

Status plan(const Stage& stage, PlanContext* c) {
  const auto& s = std::get<FrameFeatures>(stage);
  const Graph* graph = c->model.component(s.component);
  ZT_CHECK(graph != nullptr);  // opening the model says so
  ZT_ASSIGN_OR_RETURN(const int64_t width, width_of(s, *graph));
  ZT_RETURN_IF_ERROR(c->give(s.gives, given_type(c->plan.rows, c->plan.shape, width)));
  const KnownFrames& video = c->request.known.video;
  if (video.frames == 0) return Status();
  ZT_RETURN_IF_ERROR(check_frames(video, c->plan.shape));
  const int64_t pictures = std::min(kPicturesACall, video.frames);
  const int64_t calls = (video.frames + pictures - 1) / pictures;
  return c
      ->add({.name = "look at frames",
             .component = s.component,
             .inputs = {input_of(s, pictures)},
             .outputs = {output_of(s, pictures)},
             .calls = static_cast<double>(calls),
             .clip_calls = static_cast<double>(calls)})
      .status();
}

// Features of each frame, [frames, width]; the last call's are repeated where it is not full.
Result<std::vector<float>> features_of_all(const FrameFeatures& s, const Job& job, RunContext* c) {
  const KnownFrames& video = c->request.known.video;
  const ClipShape& clip = c->plan.shape;
  ZT_RETURN_IF_ERROR(check_pixels("the video", video, clip));
  ZT_ASSIGN_OR_RETURN(const SessionLease lease, c->open(job));
  const int64_t frame = clip.height * clip.width * 3;
  const int64_t pictures = std::min(kPicturesACall, video.frames);
  std::vector<float> all, given, seen;
  for (int64_t first = 0; first < video.frames; first += pictures) {
    given.clear();
    for (int64_t i = 0; i < pictures; ++i) {
      const int64_t at = std::min(first + i, video.frames - 1);
      const std::vector<float> one =
          square_picture({video.pixels.data() + at * frame, clip.width, clip.height}, s.size,
                         s.fit == ImageFeatures::Fit::kCover, s.antialias);
      given.insert(given.end(), one.begin(), one.end());
    }
    ZT_RETURN_IF_ERROR(lease.use([&](Session& session) -> Status {
      session.reset_states();
      ZT_RETURN_IF_ERROR(session.set_input(s.input, std::span<const float>(given)));
      ZT_RETURN_IF_ERROR(session.run());
      const TensorType* type = session.output_type(s.output);
      seen.resize(static_cast<size_t>(type->shape.elements()));
      return session.get_output(s.output, seen.data(), type->bytes());
    }));
    const int64_t fresh = std::min(pictures, video.frames - first);
    all.insert(all.end(), seen.begin(),
               seen.begin() + static_cast<int64_t>(seen.size()) / pictures * fresh);
    ZT_RETURN_IF_ERROR(
        c->report(job.task, static_cast<double>(first + fresh), static_cast<double>(video.frames)));
  }
  return all;
}

Status run(const Stage& stage, RunContext* c) {
  const auto& s = std::get<FrameFeatures>(stage);
  const RequestPlan& plan = c->plan;
  const LatentSpec& spec = *c->model.recipe.find_latents(s.latents);
  ZT_ASSIGN_OR_RETURN(const int64_t width, width_of(s, *c->model.component(s.component)));
  StageValue out = StageValue::make(given_type(plan.rows, plan.shape, width));  // zeros
  const int64_t frames = c->request.known.video.frames;
  if (frames > 0) {
    ZT_ASSIGN_OR_RETURN(const std::vector<float> seen, features_of_all(s, *plan.find(c->stage), c));
    const auto values = out.as<float>();
    for (int64_t row = 0; row < plan.samples; ++row)
      for (int64_t i = 0; i < plan.shape.sound_latents; ++i) {
        const int64_t shown = std::min(frame_at_latent(spec, plan.clip, i), frames - 1);
        std::copy_n(seen.begin() + shown * width, width,
                    values.begin() + (row * plan.shape.sound_latents + i) * width);
      }
  }
  c->values[s.gives] = std::move(out);
  return Status();
}

}  // namespace

int64_t frame_at_latent(const LatentSpec& spec, const ClipSpec& clip, int64_t latent) {
  return (2 * latent + 1) * spec.samples * clip.fps / (2 * int64_t{clip.sample_rate});
}

const StageDef kFrameFeaturesStage{check, plan, run};

}  // namespace zoetrope
