#include "runtime/engine/stages/latents.h"

namespace zoetrope {

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
                    const ClipShape& shape, int64_t frames) {
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
    ZT_RETURN_IF_ERROR(session.reset_states());
    ZT_RETURN_IF_ERROR(session.set_input(names.input, media));
    ZT_RETURN_IF_ERROR(session.run());
    const TensorType* type = session.output_type(names.output);
    latents.resize(static_cast<size_t>(type->shape.elements()));
    return session.get_output(names.output, latents.data(), type->bytes());
  }));
  normalize_latents(spec, latents);
  return latents;
}

Status check_pixels(const char* what, const KnownFrames& known, const ClipShape& shape) {
  const int64_t bytes = known.frames * shape.height * shape.width * 3;
  if (static_cast<int64_t>(known.pixels.size()) == bytes) return Status();
  return error(Code::kInvalidArgument, what, ": expected ", known.frames, " frames of ",
               shape.width, "x", shape.height, " RGB, ", bytes, " bytes; got ",
               known.pixels.size());
}

}  // namespace zoetrope
