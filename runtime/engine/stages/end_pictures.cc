// The pictures at a clip's ends as latents beside its own.
#include <algorithm>

#include "graph/dtype.h"
#include "runtime/engine/stages/causal_coder.h"
#include "runtime/engine/stages/latents.h"
#include "runtime/engine/tile_canvas.h"
#include "runtime/random/normal.h"
#include "runtime/random/torch_generator.h"

namespace zoetrope {
namespace {

constexpr uint64_t kNoise = uint64_t{1} << 55;  // streams of their noise, from here on

TensorType given(const LatentSpec& spec, const ClipShape& clip) {
  return {DType::kF32, latent_shape(spec, clip, 1, clip.end_pictures)};
}

// One call, of a tile of one picture.
JobSpec job_of(const EndPictures& s, const LatentSpec& spec, int64_t rows, int64_t columns) {
  JobSpec job;
  job.name = "encode pictures";
  job.component = s.component;
  job.inputs = {{s.input, {DType::kF32, {1, 1, rows * spec.pixels, columns * spec.pixels, 3}}}};
  const TensorType latents{DType::kF32, {1, 1, rows, columns, spec.channels}};
  job.outputs = {{s.output, latents}, {s.output_deviation, latents}};
  return job;
}

Status check(const Stage& stage, CheckContext* c) {
  const auto& s = std::get<EndPictures>(stage);
  const LatentSpec& spec = *c->model.recipe.find_latents(s.latents);
  const TilePlan rows = plan_tiles(c->shape.latent_height, s.area),
                 columns = plan_tiles(c->shape.latent_width, s.area);
  const JobSpec job = job_of(s, spec, rows.length, columns.length);
  ZT_RETURN_IF_ERROR(c->check(s.component, job.inputs, job.outputs));
  if (c->shape.end_pictures == 0) return Status();
  c->values[s.gives] = given(spec, c->shape);
  c->values[s.gives_times] = {DType::kF32, {1, c->shape.end_pictures}};
  return Status();
}

Status plan(const Stage& stage, PlanContext* c) {
  const auto& s = std::get<EndPictures>(stage);
  const LatentSpec& spec = *c->model.recipe.find_latents(s.latents);
  const ClipShape& clip = c->plan.shape;
  if (clip.end_pictures == 0) return Status();
  ZT_RETURN_IF_ERROR(c->give(s.gives_times, {DType::kF32, {1, clip.end_pictures}}));
  ZT_RETURN_IF_ERROR(c->give(s.gives, given(spec, clip)));
  const TilePlan rows = plan_tiles(clip.latent_height, s.area),
                 columns = plan_tiles(clip.latent_width, s.area);
  JobSpec job = job_of(s, spec, rows.length, columns.length);
  job.calls =
      static_cast<double>(clip.end_pictures * std::ssize(rows.tiles) * std::ssize(columns.tiles));
  job.clip_calls = job.calls;
  return c->add(job).status();
}

// Means, and behind them deviations, of one picture: [height, width, 2 · channels]. Counts its
// tiles in `done`.
Result<std::vector<float>> encode_picture(const EndPictures& s, const LatentSpec& spec,
                                          const KnownFrames& picture, double* done, RunContext* c) {
  const ClipShape& clip = c->plan.shape;
  ZT_RETURN_IF_ERROR(check_pixels("a picture at an end", picture, clip));
  const TilePlan rows = plan_tiles(clip.latent_height, s.area),
                 columns = plan_tiles(clip.latent_width, s.area);
  TileCanvas canvas(rows, columns, 1, 2 * int64_t{spec.channels});
  const std::vector<float> pixels = pixels_to_floats(picture.pixels);
  const Job& job = *c->plan.find(c->stage);
  ZT_ASSIGN_OR_RETURN(const SessionLease lease, c->open(job));
  const auto channels = static_cast<size_t>(spec.channels);
  const auto places = static_cast<size_t>(rows.length * columns.length);
  std::vector<float> mean(places * channels), deviation(mean.size()), both(2 * mean.size());
  for (size_t r = 0; r < rows.tiles.size(); ++r)
    for (size_t q = 0; q < columns.tiles.size(); ++q) {
      ZT_RETURN_IF_ERROR(c->report(job.task, (*done)++, job.clip_calls));
      const std::vector<float> tile =
          cut_frames(pixels, clip.height, clip.width, 3, rows.tiles[r].start * spec.pixels,
                     columns.tiles[q].start * spec.pixels, rows.length * spec.pixels,
                     columns.length * spec.pixels);
      ZT_RETURN_IF_ERROR(lease.use([&](Session& session) -> Status {
        session.reset_states();
        ZT_RETURN_IF_ERROR(session.set_input(s.input, std::span<const float>(tile)));
        ZT_RETURN_IF_ERROR(session.run());
        const auto bytes = static_cast<int64_t>(mean.size() * sizeof(float));
        ZT_RETURN_IF_ERROR(session.get_output(s.output, mean.data(), bytes));
        return session.get_output(s.output_deviation, deviation.data(), bytes);
      }));
      for (size_t p = 0; p < places; ++p) {
        std::copy_n(mean.data() + p * channels, channels, both.data() + 2 * p * channels);
        std::copy_n(deviation.data() + p * channels, channels,
                    both.data() + (2 * p + 1) * channels);
      }
      canvas.add(r, q, both);
    }
  const auto all = canvas.pixels();
  return std::vector<float>(all.begin(), all.end());
}

// A sample, rounded to f16, normalised. PyTorch draws channel by channel.
std::vector<float> sample_of(const EndPictures& s, const LatentSpec& spec,
                             std::span<const float> moments) {
  const auto channels = static_cast<size_t>(spec.channels);
  const size_t places = moments.size() / (2 * channels);
  std::vector<float> noise(places * channels), sample(noise.size());
  TorchGenerator(static_cast<uint64_t>(s.seed)).fill_normal(noise);
  for (size_t p = 0; p < places; ++p)
    for (size_t k = 0; k < channels; ++k) {
      const float mean = moments[2 * p * channels + k],
                  deviation = moments[(2 * p + 1) * channels + k];
      sample[p * channels + k] = f16_to_f32(f32_to_f16(mean + deviation * noise[k * places + p]));
    }
  normalize_latents(spec, sample);
  return sample;
}

Status run(const Stage& stage, RunContext* c) {
  const auto& s = std::get<EndPictures>(stage);
  const LatentSpec& spec = *c->model.recipe.find_latents(s.latents);
  const ClipShape& clip = c->plan.shape;
  if (clip.end_pictures == 0) return Status();
  StageValue all = StageValue::make(given(spec, clip));
  StageValue times = StageValue::make({DType::kF32, {1, clip.end_pictures}});
  const auto latents = all.as<float>();
  const size_t one = latents.size() / static_cast<size_t>(clip.end_pictures);
  // Where noise is given theirs stands behind that of all stages.
  const std::vector<float>& noise = c->request.noise;
  size_t i = 0;
  double done = 0;
  for (const auto& [picture, frame] : {std::pair{&c->request.known.first, int64_t{0}},
                                       {&c->request.known.last, clip.frames - 1}}) {
    if (picture->frames == 0) continue;
    ZT_ASSIGN_OR_RETURN(const std::vector<float> moments,
                        encode_picture(s, spec, *picture, &done, c));
    const std::vector<float> sample = sample_of(s, spec, moments);
    const auto to = latents.subspan(i * one, one);
    if (noise.empty())
      fill_normal(c->request.seed, kNoise + i, 0, to);
    else if (noise.size() < latents.size())
      return error(Code::kInvalidArgument, "the given noise has ", noise.size(),
                   " elements; pictures at the ends alone take ", latents.size());
    else
      std::copy_n(noise.end() - static_cast<int64_t>(latents.size() - i * one), one, to.begin());
    const auto part = static_cast<float>(s.noise);
    for (size_t k = 0; k < one; ++k) to[k] = (1 - part) * sample[k] + part * to[k];
    times.as<float>()[i++] = static_cast<float>(frame);
  }
  c->values[s.gives] = std::move(all);
  c->values[s.gives_times] = std::move(times);
  return c->report(c->plan.find(c->stage)->task, done, done);
}

}  // namespace

const StageDef kEndPicturesStage{check, plan, run};

}  // namespace zoetrope
