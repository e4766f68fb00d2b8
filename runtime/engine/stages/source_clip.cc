// A clip that is made anew: its frames as latents, encoded piece by piece along time.
#include <algorithm>

#include "runtime/engine/stages/bilinear.h"
#include "runtime/engine/stages/latents.h"
#include "runtime/engine/tile_plan.h"

namespace zoetrope {
namespace {

EncoderNames names(const SourceClip& s) { return {s.component, s.input, s.output}; }

TilePlan tiles_of(const SourceClip& s, const ClipShape& clip) {
  return plan_tiles(clip.latent_frames, {s.tile, 0, 0});
}

JobSpec job_of(const SourceClip& s, const LatentSpec& spec, const ClipSpec& clip,
               const ClipShape& shape) {
  const TilePlan tiles = tiles_of(s, shape);
  JobSpec job = encoder_job(names(s), spec, clip, shape, frames_of_latents(spec, tiles.length));
  // Black frames are the same in every tile.
  job.calls = static_cast<double>(tiles.tiles.size()) + (s.gives_black.empty() ? 0 : 1);
  return job;
}

Status check(const Stage& stage, CheckContext* c) {
  const auto& s = std::get<SourceClip>(stage);
  const LatentSpec& spec = *c->model.recipe.find_latents(s.latents);
  const JobSpec job = job_of(s, spec, c->model.recipe.clip, c->shape);
  ZT_RETURN_IF_ERROR(c->check(job.component, job.inputs, job.outputs));
  c->values[s.gives] = {DType::kF32, latent_shape(spec, c->shape, 1)};
  if (!s.gives_black.empty()) c->values[s.gives_black] = c->values[s.gives];
  return Status();
}

// Frames as they are given, before the stage makes them as large as the clip.
ClipShape given_shape(const SourceClip& s, const ClipShape& clip) {
  ClipShape given = clip;
  given.width /= s.scale;
  given.height /= s.scale;
  return given;
}

Status plan(const Stage& stage, PlanContext* c) {
  const auto& s = std::get<SourceClip>(stage);
  const LatentSpec& spec = *c->model.recipe.find_latents(s.latents);
  const ClipShape& clip = c->plan.shape;
  const int64_t frames = c->request.known.source.frames;
  if (frames == 0)
    return error(Code::kInvalidArgument,
                 "this model makes a clip anew: give one (--video), and say in words what it is to "
                 "become");
  if (frames != clip.frames)
    return error(Code::kInvalidArgument, "the clip to make anew has ", frames, " frames; expected ",
                 clip.frames);
  ZT_RETURN_IF_ERROR(c->add(job_of(s, spec, c->plan.clip, clip)).status());
  const TensorType type{DType::kF32, latent_shape(spec, clip, 1)};
  ZT_RETURN_IF_ERROR(c->give(s.gives, type));
  return s.gives_black.empty() ? Status() : c->give(s.gives_black, type);
}

// Frames in one call's size after another, on one session.
class Encoding {
 public:
  Encoding(const SourceClip& s, const LatentSpec& spec, RunContext* c)
      : s_(s), spec_(spec), c_(*c), tiles_(tiles_of(s, c->plan.shape)) {}

  Status open() {
    ZT_ASSIGN_OR_RETURN(lease_,
                        c_.open(*c_.plan.find(c_.stage, frames_of_latents(spec_, tiles_.length))));
    return Status();
  }
  // Of tile `tile`'s frames from `fill(first, count, pixels)`, its part of `all`.
  template <typename Fill>
  Status encode(const Tile& tile, Fill fill, std::span<float> all) {
    const int64_t frames = frames_of_latents(spec_, tiles_.length);
    const ClipShape& clip = c_.plan.shape;
    pixels_.resize(static_cast<size_t>(frames * clip.height * clip.width * 3));
    fill(frames_of_latents(spec_, tile.start), frames, std::span<float>(pixels_));
    return lease_.use([&](Session& session) -> Status {
      session.reset_states();
      ZT_RETURN_IF_ERROR(session.set_input(s_.input, std::span<const float>(pixels_)));
      ZT_RETURN_IF_ERROR(session.run());
      const TensorType* type = session.output_type(s_.output);
      encoded_.resize(static_cast<size_t>(type->shape.elements()));
      ZT_RETURN_IF_ERROR(session.get_output(s_.output, encoded_.data(), type->bytes()));
      normalize_latents(spec_, encoded_);
      take(tile, all);
      return Status();
    });
  }
  // What the last call gave, for another tile of the same frames.
  void take(const Tile& tile, std::span<float> all) const {
    const auto one = static_cast<int64_t>(encoded_.size()) / tiles_.length;
    std::copy(encoded_.begin() + (tile.from - tile.start) * one,
              encoded_.begin() + (tile.to - tile.start) * one, all.begin() + tile.from * one);
  }
  const std::vector<Tile>& tiles() const { return tiles_.tiles; }

 private:
  const SourceClip& s_;
  const LatentSpec& spec_;
  RunContext& c_;
  const TilePlan tiles_;
  SessionLease lease_;
  std::vector<float> pixels_, encoded_;
};

Status run(const Stage& stage, RunContext* c) {
  const auto& s = std::get<SourceClip>(stage);
  const LatentSpec& spec = *c->model.recipe.find_latents(s.latents);
  const ClipShape& clip = c->plan.shape;
  const KnownFrames& source = c->request.known.source;
  const ClipShape given = given_shape(s, clip);
  ZT_RETURN_IF_ERROR(check_pixels("the clip to make anew", source, given));
  const FrameSource frames = frames_from(source, given);
  std::vector<float> small(static_cast<size_t>(given.height * given.width * 3));
  const auto enlarged = [&](int64_t first, int64_t count, std::span<float> pixels) {
    const size_t frame = pixels.size() / static_cast<size_t>(count);
    for (int64_t f = 0; f < count; ++f) {
      frames(first + f, 1, small);
      scale_bilinear(small, given.width, given.height, 3, s.scale, 1,
                     pixels.subspan(static_cast<size_t>(f) * frame, frame));
    }
  };
  const auto black = [](int64_t, int64_t, std::span<float> pixels) {
    std::fill(pixels.begin(), pixels.end(), -1.0f);
  };
  Encoding encoding(s, spec, c);
  ZT_RETURN_IF_ERROR(encoding.open());
  const double total = static_cast<double>(encoding.tiles().size()) + !s.gives_black.empty();
  double done = 0;
  StageValue all = StageValue::make({DType::kF32, latent_shape(spec, clip, 1)});
  for (const Tile& tile : encoding.tiles()) {
    ZT_RETURN_IF_ERROR(encoding.encode(tile, enlarged, all.as<float>()));
    ZT_RETURN_IF_ERROR(c->report("encode video", ++done, total));
  }
  c->values[s.gives] = std::move(all);
  if (s.gives_black.empty()) return Status();
  StageValue dark = StageValue::make({DType::kF32, latent_shape(spec, clip, 1)});
  ZT_RETURN_IF_ERROR(encoding.encode(encoding.tiles().front(), black, dark.as<float>()));
  for (const Tile& tile : encoding.tiles()) encoding.take(tile, dark.as<float>());
  c->values[s.gives_black] = std::move(dark);
  return c->report("encode video", total, total);
}

}  // namespace

const StageDef kSourceClipStage{check, plan, run};

}  // namespace zoetrope
