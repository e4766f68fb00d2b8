// What a model sees of the first frame, or of the first and the last one.
#include <algorithm>

#include "runtime/engine/stages/bicubic.h"
#include "runtime/engine/stages/latents.h"

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
  if (c->request.known.first.frames == 0)
    return error(Code::kInvalidArgument, "this model looks at the first frame: give it (--image)");
  if (s.pictures == 2 && c->request.known.last.frames == 0)
    return error(Code::kInvalidArgument,
                 "this model looks at the first and the last frame: give both (--image, "
                 "--last-image)");
  ZT_ASSIGN_OR_RETURN(const Job* job, c->add({.name = "look at pictures",
                                              .component = s.component,
                                              .inputs = {input_of(s)},
                                              .outputs = {output_of(s)}}));
  return c->give(s.gives, joined(s, job->plan->graph));
}

// [size, size, 3] in [−1, 1] of a frame [height, width, 3].
std::vector<float> look(const ImageFeatures& s, std::span<const uint8_t> frame,
                        const ClipShape& clip) {
  int64_t width = s.size, height = s.size;
  if (s.fit == ImageFeatures::Fit::kCover) {  // longer sides are rounded down
    if (clip.width > clip.height)
      width = s.size * clip.width / clip.height;
    else
      height = s.size * clip.height / clip.width;
  }
  const std::vector<float> resized =
      resize_bicubic(frame, clip.width, clip.height, width, height, s.antialias);
  const int64_t left = (width - s.size) / 2, top = (height - s.size) / 2;
  std::vector<float> out;
  out.reserve(static_cast<size_t>(s.size * s.size * 3));
  for (int64_t y = 0; y < s.size; ++y)
    for (int64_t x = 0; x < s.size * 3; ++x)
      out.push_back(resized[static_cast<size_t>((top + y) * width * 3 + left * 3 + x)] / 127.5f -
                    1.0f);
  return out;
}

Status run(const Stage& stage, RunContext* c) {
  const auto& s = std::get<ImageFeatures>(stage);
  const KnownMedia& known = c->request.known;
  const ClipShape& clip = c->plan.shape;
  ZT_RETURN_IF_ERROR(check_pixels("the first frame", known.first, clip));
  std::vector<float> pictures = look(s, known.first.pixels, clip);
  if (s.pictures == 2) {
    ZT_RETURN_IF_ERROR(check_pixels("the last frame", known.last, clip));
    const std::vector<float> last = look(s, known.last.pixels, clip);
    pictures.insert(pictures.end(), last.begin(), last.end());
  }
  const Job& job = *c->plan.find(c->stage);
  ZT_ASSIGN_OR_RETURN(const SessionLease lease, c->open(job));
  StageValue out = StageValue::make(joined(s, job.plan->graph));
  ZT_RETURN_IF_ERROR(lease.use([&](Session& session) -> Status {
    session.reset_states();
    ZT_RETURN_IF_ERROR(session.set_input(s.input, std::span<const float>(pictures)));
    ZT_RETURN_IF_ERROR(session.run());
    return session.get_output(s.output, out.bytes.data(), out.type.bytes());
  }));
  c->values[s.gives] = std::move(out);
  return Status();
}

}  // namespace

const StageDef kImageFeaturesStage{check, plan, run};

}  // namespace zoetrope
