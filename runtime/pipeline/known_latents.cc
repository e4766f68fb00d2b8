#include "runtime/pipeline/known_latents.h"

#include <algorithm>

namespace zoetrope {
namespace {

const PipelinePlan::Phase* find_phase(const PipelinePlan& plan, std::string_view component,
                                      std::string_view symbol, int64_t value) {
  for (const PipelinePlan::Phase& phase : plan.phases) {
    const auto it = phase.plan.bindings.find(symbol);
    if (phase.component == component && it != phase.plan.bindings.end() && it->second == value)
      return &phase;
  }
  return nullptr;
}

class Encoder {
 public:
  Encoder(const Model& model, const PipelinePlan& plan, Device& device)
      : model_(model), plan_(plan), device_(device) {}

  // Normalised latents [ceil(frames / r), h, w, C] of u8 frames.
  Result<std::vector<float>> video(const KnownFrames& known) {
    const ClipShape& s = plan_.shape;
    const int64_t elements = known.frames * s.height * s.width * 3;
    if (static_cast<int64_t>(known.pixels.size()) != elements)
      return error(Code::kInvalidArgument, "expected ", known.frames, " frames of ", s.width, "x",
                   s.height, " RGB, ", elements, " bytes; got ", known.pixels.size());
    std::vector<float> pixels(known.pixels.size());
    for (size_t i = 0; i < pixels.size(); ++i)
      pixels[i] = static_cast<float>(known.pixels[i]) / 127.5f - 1.0f;
    return run(find_phase(plan_, "tae_encoder", "frames", known.frames), "video", pixels,
               plan_.recipe.video);
  }

  Result<std::vector<float>> audio(const std::vector<float>& samples) {
    const int64_t padded = plan_.shape.audio_latents * plan_.recipe.samples_per_latent;
    std::vector<float> input(static_cast<size_t>(padded * plan_.recipe.audio_channels), 0.0f);
    std::copy_n(samples.begin(), std::min(samples.size(), input.size()), input.begin());
    return run(find_phase(plan_, "codec_encoder", "audio_length", plan_.shape.audio_latents),
               "audio", input, plan_.recipe.audio);
  }

 private:
  Result<std::vector<float>> run(const PipelinePlan::Phase* phase, const char* input,
                                 const std::vector<float>& data, const FlatLatents& spec) {
    ZT_CHECK(phase != nullptr);
    WeightStore weights(device_, *model_.weights);
    ZT_ASSIGN_OR_RETURN(auto session, Session::create(phase->plan, weights));
    ZT_RETURN_IF_ERROR(session->set_input(input, std::span<const float>(data)));
    ZT_RETURN_IF_ERROR(session->run());
    const TensorType* type = session->output_type("latents");
    if (type == nullptr)
      return error(Code::kDataLoss, phase->component, " has no output 'latents'");
    std::vector<float> latents(static_cast<size_t>(type->shape.elements()));
    ZT_RETURN_IF_ERROR(session->get_output("latents", latents.data(), type->bytes()));
    normalize_latents(spec, latents);
    return latents;
  }

  const Model& model_;
  const PipelinePlan& plan_;
  Device& device_;
};

// Copies whole latent frames [begin, begin + count) from `source`, starting at its frame `from`.
void place(const ClipShape& s, int64_t channels, std::span<const float> source, int64_t from,
           int64_t begin, int64_t count, float mask, KnownTensors* out) {
  const int64_t pixels = s.latent_height * s.latent_width, row = pixels * channels;
  std::copy_n(source.begin() + from * row, count * row, out->video.begin() + begin * row);
  std::fill_n(out->video_mask.begin() + begin * pixels, count * pixels, mask);
}

// Sound that is known at the ends alone. A latent is known where its centre is (train/masks.py).
Status place_sound(const KnownMedia& known, const PipelinePlan& plan, Encoder& encoder,
                   KnownTensors* out) {
  const int64_t channels = plan.recipe.audio_channels, total = plan.shape.samples;
  const auto before = static_cast<int64_t>(known.before_sound.size()) / channels;
  const auto after = static_cast<int64_t>(known.after_sound.size()) / channels;
  if (before + after > total)
    return error(Code::kInvalidArgument, "the known sound has ", before + after,
                 " samples; the clip has ", total);
  std::vector<float> samples(static_cast<size_t>(total * channels));
  std::copy(known.before_sound.begin(), known.before_sound.end(), samples.begin());
  std::copy(known.after_sound.begin(), known.after_sound.end(), samples.end() - after * channels);
  ZT_ASSIGN_OR_RETURN(out->audio, encoder.audio(samples));
  const auto width = static_cast<size_t>(plan.recipe.audio.channels);
  for (size_t i = 0; i < out->audio_mask.size(); ++i) {
    const double centre = (static_cast<double>(i) + 0.5) * plan.recipe.samples_per_latent;
    const bool is_known = centre < static_cast<double>(before) ||
                          (after > 0 && centre >= static_cast<double>(total - after));
    out->audio_mask[i] = is_known ? kMaskKnown : 0.0f;
    if (!is_known) std::fill_n(out->audio.begin() + static_cast<int64_t>(i * width), width, 0.0f);
  }
  return Status();
}

}  // namespace

void normalize_latents(const FlatLatents& spec, std::span<float> latents) {
  const size_t channels = spec.mean.size();
  for (size_t i = 0; i < latents.size(); ++i)
    latents[i] = (latents[i] - spec.mean[i % channels]) / spec.std[i % channels];
}

void denormalize_latents(const FlatLatents& spec, std::span<float> latents) {
  const size_t channels = spec.mean.size();
  for (size_t i = 0; i < latents.size(); ++i)
    latents[i] = latents[i] * spec.std[i % channels] + spec.mean[i % channels];
}

Result<KnownTensors> encode_known(const Model& model, const PipelinePlan& plan,
                                  const KnownMedia& known, Device& device) {
  const ClipShape& s = plan.shape;
  const int64_t channels = plan.recipe.video.channels;
  KnownTensors out;
  out.video.assign(static_cast<size_t>(plan.shape.video_elements(plan.recipe)), 0.0f);
  out.video_mask.assign(out.video.size() / static_cast<size_t>(channels), 0.0f);
  out.audio.assign(static_cast<size_t>(plan.shape.audio_elements(plan.recipe)), 0.0f);
  out.audio_mask.assign(static_cast<size_t>(s.audio_latents), 0.0f);
  Encoder encoder(model, plan, device);

  const auto place_frames = [&](const KnownFrames& k, const char* what, bool at_end,
                                float single_mask) -> Status {
    if (k.frames == 0) return Status();
    const int64_t latents =
        (k.frames + plan.recipe.frames_per_latent - 1) / plan.recipe.frames_per_latent;
    if (latents > s.latent_frames)
      return error(Code::kInvalidArgument, what, " has ", k.frames, " frames; the clip has ",
                   s.frames);
    auto encoded = encoder.video(k);
    if (!encoded.ok()) return encoded.status().with_context(what);
    const float mask = k.frames == 1 && s.frames > 1 ? single_mask : kMaskKnown;
    place(s, channels, *encoded, 0, at_end ? s.latent_frames - latents : 0, latents, mask, &out);
    return Status();
  };
  ZT_RETURN_IF_ERROR(place_frames(known.before, "the clip to continue", false, kMaskFirstFrame));
  ZT_RETURN_IF_ERROR(place_frames(known.after, "the clip to lead to", true, kMaskLastFrame));
  ZT_RETURN_IF_ERROR(place_frames(known.first, "the first frame", false, kMaskFirstFrame));
  ZT_RETURN_IF_ERROR(place_frames(known.last, "the last frame", true, kMaskLastFrame));
  if (known.video.frames > 0 && known.video.frames != s.frames)
    return error(Code::kInvalidArgument, "the video has ", known.video.frames,
                 " frames; the clip has ", s.frames);
  ZT_RETURN_IF_ERROR(place_frames(known.video, "the video", false, kMaskFirstFrame));
  if (!known.audio.empty()) {
    ZT_ASSIGN_OR_RETURN(out.audio, encoder.audio(known.audio));
    std::fill(out.audio_mask.begin(), out.audio_mask.end(), kMaskKnown);
  } else if (known.has_sound()) {
    ZT_RETURN_IF_ERROR(place_sound(known, plan, encoder, &out));
  }
  return out;
}

}  // namespace zoetrope
