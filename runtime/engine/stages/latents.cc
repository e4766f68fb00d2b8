#include "runtime/engine/stages/latents.h"

#include <algorithm>

#include "runtime/engine/stages/bilinear.h"
#include "runtime/engine/stages/causal_coder.h"
#include "runtime/engine/tile_canvas.h"

namespace zoetrope {
namespace {

CausalCoder coder_of(const EncoderNames& names) {
  return {names.first, names.component, names.input, names.output, /*encodes=*/true};
}

// Of frames of the clip's size those made smaller.
FrameSource reduced_frames(const FrameSource& source, const ClipShape& shape, Reduced by) {
  if (!by.any()) return source;
  return [source, shape, by](int64_t first, int64_t count, std::span<float> pixels) {
    std::vector<float> whole(static_cast<size_t>(shape.height * shape.width * 3));
    const auto frame = static_cast<size_t>(by.of(shape.height) * by.of(shape.width) * 3);
    for (int64_t f = 0; f < count; ++f) {
      source(first + f, 1, whole);
      scale_bilinear(whole, shape.width, shape.height, 3, by.to, by.by,
                     pixels.subspan(static_cast<size_t>(f) * frame, frame));
    }
  };
}

// Tiles of frames overlap as the decoder's do.
TileSpec frame_tiles(const Recipe& recipe, const std::string& latents) {
  for (const Stage& stage : recipe.stages)
    if (const auto* decode = std::get_if<DecodeVideo>(&stage);
        decode != nullptr && decode->latents == latents && !decode->first.empty())
      return decode->tiles;
  return {};
}

}  // namespace

void normalize_latents(const LatentSpec& spec, std::span<float> latents) {
  const size_t channels = spec.mean.size();
  for (size_t i = 0; i < latents.size(); ++i)
    latents[i] = (latents[i] - spec.mean[i % channels]) / spec.std[i % channels];
}

void denormalize_latents(const LatentSpec& spec, std::span<float> latents) {
  const size_t channels = spec.mean.size();
  for (size_t i = 0; i < latents.size(); ++i)
    latents[i] = latents[i] * spec.std[i % channels] + spec.mean[i % channels];
}

std::vector<float> pixels_to_floats(std::span<const uint8_t> pixels) {
  std::vector<float> floats(pixels.size());
  for (size_t i = 0; i < floats.size(); ++i)
    floats[i] = static_cast<float>(pixels[i]) / 127.5f - 1.0f;
  return floats;
}

JobSpec encoder_job(const EncoderNames& names, const LatentSpec& spec, const ClipSpec& clip,
                    const ClipShape& whole, int64_t frames) {
  const ClipShape shape = reduced_shape(whole, names.reduced);
  JobSpec job;
  job.component = names.component;
  Shape in, out;
  switch (spec.media) {
    case Modality::kImage:
      job.name = "encode picture";
      in = {1, shape.height, shape.width, 3};
      out = latent_shape(spec, shape, 1);
      break;
    case Modality::kVideo:
      job.name = "encode video";
      in = {1, frames, shape.height, shape.width, 3};
      out = latent_shape(spec, shape, 1, latents_of_frames(spec, frames));
      break;
    case Modality::kSound:
      job.name = "encode sound";
      in = {1, shape.sound_latents * spec.samples, clip.sound_channels};
      out = latent_shape(spec, shape, 1);
      break;
  }
  job.inputs = {{names.input, {DType::kF32, in}}};
  job.outputs = {{names.output, {DType::kF32, out}}};
  job.key = frames;
  return job;
}

Result<std::vector<float>> encode(const EncoderNames& names, const LatentSpec& spec,
                                  std::span<const float> media, const Job& job, RunContext* c) {
  ZT_ASSIGN_OR_RETURN(const SessionLease lease, c->open(job));
  std::vector<float> latents;
  ZT_RETURN_IF_ERROR(lease.use([&](Session& session) -> Status {
    session.reset_states();
    ZT_RETURN_IF_ERROR(session.set_input(names.input, media));
    ZT_RETURN_IF_ERROR(session.run());
    const TensorType* type = session.output_type(names.output);
    latents.resize(static_cast<size_t>(type->shape.elements()));
    return session.get_output(names.output, latents.data(), type->bytes());
  }));
  normalize_latents(spec, latents);
  return latents;
}

Status check_frame_encoder(const EncoderNames& names, const LatentSpec& spec,
                           const std::vector<int64_t>& frames, CheckContext* c) {
  if (!names.first.empty()) return check_causal_coder(coder_of(names), spec, c);
  for (int64_t count : frames) {
    const JobSpec job = encoder_job(names, spec, c->model.recipe.clip, c->shape, count);
    ZT_RETURN_IF_ERROR(c->check(job.component, job.inputs, job.outputs));
  }
  return Status();
}

Status plan_frame_encoder(const EncoderNames& names, const LatentSpec& spec, int64_t frames,
                          PlanContext* c) {
  if (names.first.empty()) {
    if (c->plan.find(c->stage, frames) != nullptr) return Status();
    return c->add(encoder_job(names, spec, c->plan.clip, c->plan.shape, frames)).status();
  }
  CoderPass pass;
  pass.name = "encode video";
  pass.latents = latents_of_frames(spec, frames);
  pass.tiles = frame_tiles(c->model.recipe, spec.name);
  if (c->plan.find(c->stage, -pass.latents) != nullptr) return Status();
  return plan_causal_coder(coder_of(names), spec, pass, c);
}

Result<std::vector<float>> encode_frames(const EncoderNames& names, const LatentSpec& spec,
                                         int64_t frames, const FrameSource& source, RunContext* c) {
  const ClipShape shape = reduced_shape(c->plan.shape, names.reduced);
  const int64_t frame = shape.height * shape.width * 3;
  std::vector<float> pixels;
  if (names.first.empty()) {
    pixels.resize(static_cast<size_t>(frames * frame));
    reduced_frames(source, c->plan.shape, names.reduced)(0, frames, pixels);
    return encode(names, spec, pixels, *c->plan.find(c->stage, frames), c);
  }
  const int64_t count = latents_of_frames(spec, frames);
  ZT_ASSIGN_OR_RETURN(CoderCalls calls, CoderCalls::open(coder_of(names), count, c));
  const TilePlan &rows = calls.rows(), &columns = calls.columns();
  std::vector<TileCanvas> canvases;
  for (int64_t t = 0; t < count; ++t) canvases.emplace_back(rows, columns, 1, spec.channels);
  const double total = static_cast<double>(calls.count()) *
                       static_cast<double>(rows.tiles.size() * columns.tiles.size());
  const bool whole = rows.tiles.size() * columns.tiles.size() == 1;
  double done = 0;
  std::vector<float> output;
  for (size_t r = 0; r < rows.tiles.size(); ++r)
    for (size_t q = 0; q < columns.tiles.size(); ++q) {
      ZT_RETURN_IF_ERROR(calls.begin());
      for (int64_t i = 0, latent = 0; latent < count; latent += calls.latents(i++)) {
        ZT_RETURN_IF_ERROR(c->report("encode video", done++, total));
        const int64_t from = latent == 0 ? 0 : frames_of_latents(spec, latent);
        const int64_t to = frames_of_latents(spec, latent + calls.latents(i));
        pixels.resize(static_cast<size_t>((to - from) * frame));
        source(from, to - from, pixels);
        if (!whole)
          pixels =
              cut_frames(pixels, shape.height, shape.width, 3, rows.tiles[r].start * spec.pixels,
                         columns.tiles[q].start * spec.pixels, rows.length * spec.pixels,
                         columns.length * spec.pixels);
        ZT_RETURN_IF_ERROR(calls.call(pixels, &output));
        if (!whole) calls.count_host();
        const size_t one = output.size() / static_cast<size_t>(calls.latents(i));
        for (int64_t k = 0; k < calls.latents(i); ++k)
          canvases[static_cast<size_t>(latent + k)].add(
              r, q, std::span<const float>(output).subspan(static_cast<size_t>(k) * one, one));
      }
    }
  std::vector<float> latents;
  for (TileCanvas& canvas : canvases)
    latents.insert(latents.end(), canvas.pixels().begin(), canvas.pixels().end());
  normalize_latents(spec, latents);
  return latents;
}

FrameSource frames_from(const KnownFrames& known, const ClipShape& shape) {
  const auto frame = static_cast<size_t>(shape.height * shape.width * 3);
  return [&known, frame](int64_t first, int64_t count, std::span<float> pixels) {
    for (int64_t i = 0; i < count; ++i) {
      const auto at = static_cast<size_t>(std::min(first + i, known.frames - 1));
      const std::vector<float> one =
          pixels_to_floats(std::span(known.pixels).subspan(at * frame, frame));
      std::copy(one.begin(), one.end(), pixels.begin() + i * static_cast<int64_t>(frame));
    }
  };
}

Status check_pixels(const char* what, const KnownFrames& known, const ClipShape& shape) {
  const int64_t bytes = known.frames * shape.height * shape.width * 3;
  if (static_cast<int64_t>(known.pixels.size()) == bytes) return Status();
  return error(Code::kInvalidArgument, what, ": expected ", known.frames, " frames of ",
               shape.width, "x", shape.height, " RGB, ", bytes, " bytes; got ",
               known.pixels.size());
}

std::vector<GivenFrames> given_frames(const KnownMedia& k) {
  std::vector<GivenFrames> all;
  for (const GivenFrames& g :
       {GivenFrames{&k.before, "the clip to continue", false},
        GivenFrames{&k.after, "the clip to lead to", true},
        GivenFrames{&k.first, "the first frame", false},
        GivenFrames{&k.last, "the last frame", true}, GivenFrames{&k.video, "the video", false}})
    if (g.frames->frames > 0) all.push_back(g);
  return all;
}

std::vector<GivenKey> given_keys(const KnownMedia& known, const ClipShape& clip) {
  std::vector<GivenKey> keys;
  for (const KeyFrame& key : known.keys) keys.push_back({key.pixels, key.frame, key.strength});
  if (known.last.frames > 0) keys.push_back({known.last.pixels, clip.frames - 1, 1});
  return keys;
}

Result<std::vector<const uint8_t*>> find_frames(const KnownMedia& known, const ClipShape& clip) {
  std::vector<const uint8_t*> all(static_cast<size_t>(clip.frames), nullptr);
  const int64_t frame = clip.height * clip.width * 3;
  for (const GivenFrames& g : given_frames(known)) {
    ZT_RETURN_IF_ERROR(check_pixels(g.what, *g.frames, clip));
    ZT_CHECK(g.frames->frames <= clip.frames);  // planning says so
    const int64_t first = g.at_end ? clip.frames - g.frames->frames : 0;
    for (int64_t f = 0; f < g.frames->frames; ++f)
      all[static_cast<size_t>(first + f)] = g.frames->pixels.data() + f * frame;
  }
  return all;
}

Status require_first_frame(const KnownMedia& known) {
  if (known.has_first()) return Status();
  return error(Code::kInvalidArgument,
               "this model goes on from a picture: give the first frame (--image) or a clip to "
               "continue (--extend)");
}

}  // namespace zoetrope
