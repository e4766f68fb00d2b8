// What is known of a clip, as latents and a mask: frames at either end, all of them, or the sound.
#include <algorithm>
#include <set>

#include "runtime/engine/check.h"
#include "runtime/engine/stages/latents.h"

namespace zoetrope {
namespace {

EncoderNames names(const KnownLatents& s) {
  return {s.component, s.input, s.output, s.first, s.reduced};
}

bool takes_keys(const KnownLatents& s) { return !s.gives_key_times.empty(); }

// What is given of the clip's own latents: of a model that takes key frames, the last frame is one.
std::vector<GivenFrames> own_frames(const KnownLatents& s, const KnownMedia& known) {
  std::vector<GivenFrames> all = given_frames(known);
  if (takes_keys(s)) std::erase_if(all, [&](const auto& g) { return g.frames == &known.last; });
  return all;
}

// Known latents as they are denoised: those of key frames behind the clip's.
Shape known_shape(const KnownLatents& s, const LatentSpec& spec, const ClipShape& clip) {
  const ClipShape shape = reduced_shape(clip, s.reduced);
  if (spec.media != Modality::kVideo) return latent_shape(spec, shape, 1);
  return latent_shape(spec, shape, 1, shape.latent_frames + shape.key_frames);
}

Status check_keys(const KnownLatents& s, const Recipe& recipe, const KnownMedia& known,
                  const ClipShape& clip) {
  if (!s.graded && known.first_strength != 1)
    return error(Code::kInvalidArgument, "the first frame at a strength of ", known.first_strength,
                 ": this model keeps a given frame as it is, or knows none");
  if (!(known.first_strength > 0 && known.first_strength <= 1))
    return error(Code::kInvalidArgument, "the first frame at a strength of ", known.first_strength,
                 ": expected more than 0, at most 1");
  if (!known.keys.empty() && !takes_keys(s))
    return error(Code::kInvalidArgument, "this model takes no frames at chosen times; it takes ",
                 given_media(recipe));
  for (const KeyFrame& key : known.keys) {
    if (key.frame < 1 || key.frame >= clip.frames)
      return error(Code::kInvalidArgument, "a key frame at frame ", key.frame,
                   ": this clip's go from 0, the first, to ", clip.frames - 1);
    if (!(key.strength > 0 && key.strength <= 1))
      return error(Code::kInvalidArgument, "a key frame at a strength of ", key.strength,
                   ": expected more than 0, at most 1");
    if (known.video.frames > 0 || key.frame < known.before.frames ||
        key.frame >= clip.frames - known.after.frames)
      return error(Code::kInvalidArgument, "a key frame at frame ", key.frame,
                   ": the clip given has that frame already");
  }
  std::set<int64_t> frames;
  for (const GivenKey& key : given_keys(known, clip))
    if (!frames.insert(key.frame).second)
      return error(Code::kInvalidArgument, "two pictures are given for frame ", key.frame);
  return Status();
}

// Whole latents but for a single frame at either end, whose latent is known in part.
bool is_part(const GivenFrames& g, const LatentSpec& spec, const ClipShape& clip) {
  if (g.frames->frames == clip.frames || g.frames->frames != 1) return false;
  return (g.at_end && clip.latent_frames > 1 ? spec.later_frames : spec.first_frames) > 1;
}

Status check_length(const GivenFrames& g, const KnownLatents& s, const LatentSpec& spec,
                    const ClipShape& clip) {
  const int64_t frames = g.frames->frames, latents = latents_of_frames(spec, frames);
  if (s.fill == KnownLatents::Fill::kZeros && g.at_end && spec.first_frames != spec.later_frames)
    return error(Code::kUnsupported, g.what,
                 ": this model encodes clips from their beginning, so that an end cannot be given");
  if (frames > clip.frames || latents > clip.latent_frames)
    return error(Code::kInvalidArgument, g.what, " has ", frames, " frames; the clip has ",
                 clip.frames);
  if (std::string_view(g.what) == "the video" && frames != clip.frames)
    return error(Code::kInvalidArgument, "the video has ", frames, " frames; the clip has ",
                 clip.frames);
  if (s.fill == KnownLatents::Fill::kGrey) return Status();
  if (is_part(g, spec, clip)) {
    if (!(g.at_end ? s.mask_last_frame : s.mask_first_frame))
      return error(Code::kUnsupported, "this model was not made to take ", g.what, " alone");
    return Status();
  }
  const bool whole =
      frames == clip.frames ||
      (g.at_end ? frames % spec.later_frames == 0 : frames_of_latents(spec, latents) == frames);
  if (!whole)
    return error(
        Code::kInvalidArgument, g.what, " has ", frames,
        " frames; expected whole latents: ", g.at_end ? spec.later_frames : spec.first_frames,
        " and then each ", spec.later_frames, " more");
  return Status();
}

Shape mask_shape(const KnownLatents& s, const LatentSpec& spec, Shape shape) {
  shape[-1] = s.mask == KnownLatents::Mask::kFrames ? spec.later_frames : 1;
  return shape;
}

// Of one tile.
JobSpec sound_job(const KnownLatents& s, const LatentSpec& spec, const ClipSpec& clip,
                  ClipShape shape) {
  const TilePlan tiles = plan_tiles(shape.sound_latents, s.tiles);
  shape.sound_latents = tiles.length;
  JobSpec job = encoder_job(names(s), spec, clip, shape, 0);
  job.tiles = tiles;
  job.calls = job.clip_calls = static_cast<double>(tiles.tiles.size());
  return job;
}

Status check(const Stage& stage, CheckContext* c) {
  const auto& s = std::get<KnownLatents>(stage);
  const LatentSpec& spec = *c->model.recipe.find_latents(s.latents);
  if (spec.media == Modality::kSound) {
    const JobSpec job = sound_job(s, spec, c->model.recipe.clip, c->shape);
    ZT_RETURN_IF_ERROR(c->check(s.component, job.inputs, job.outputs));
  } else {
    std::vector<int64_t> lengths{c->shape.frames};
    if (spec.media == Modality::kVideo && s.fill == KnownLatents::Fill::kZeros)
      lengths.insert(lengths.end(),
                     {1, spec.first_frames, int64_t{spec.first_frames} + spec.later_frames});
    ZT_RETURN_IF_ERROR(check_frame_encoder(names(s), spec, lengths, c));
  }
  const Shape shape = known_shape(s, spec, c->shape);
  if (takes_keys(s)) c->values[s.gives_key_times] = {DType::kF32, {1, c->shape.key_frames}};
  c->values[s.gives] = {DType::kF32, shape};
  c->values[s.gives_mask] = {DType::kF32, mask_shape(s, spec, shape)};
  return Status();
}

Status plan(const Stage& stage, PlanContext* c) {
  const auto& s = std::get<KnownLatents>(stage);
  const LatentSpec& spec = *c->model.recipe.find_latents(s.latents);
  const ClipShape& clip = c->plan.shape;
  const Shape shape = known_shape(s, spec, clip);
  if (takes_keys(s) && clip.key_frames > 0)
    ZT_RETURN_IF_ERROR(c->give(s.gives_key_times, {DType::kF32, {1, clip.key_frames}}));
  ZT_RETURN_IF_ERROR(c->give(s.gives, {DType::kF32, shape}));
  ZT_RETURN_IF_ERROR(c->give(s.gives_mask, {DType::kF32, mask_shape(s, spec, shape)}));
  const KnownMedia& known = c->request.known;
  if (spec.media == Modality::kSound) {
    if (!known.has_sound()) return Status();
    return c->add(sound_job(s, spec, c->plan.clip, clip)).status();
  }
  if (s.required) ZT_RETURN_IF_ERROR(require_first_frame(known));
  ZT_RETURN_IF_ERROR(check_keys(s, c->model.recipe, known, clip));
  if (clip.key_frames > 0) ZT_RETURN_IF_ERROR(plan_frame_encoder(names(s), spec, 1, c));
  for (const GivenFrames& g : own_frames(s, known)) {
    const Status fits = check_length(g, s, spec, clip);
    if (fits.code() == Code::kUnsupported)
      return Status(fits.code(), str(fits.message(), "; it takes ", given_media(c->model.recipe)));
    ZT_RETURN_IF_ERROR(fits);
    if (s.fill == KnownLatents::Fill::kGrey) continue;
    // Equal lengths share a session.
    const Status planned = plan_frame_encoder(names(s), spec, g.frames->frames, c);
    if (!planned.ok()) return planned.with_context(g.what);
  }
  if (s.fill == KnownLatents::Fill::kZeros) return Status();
  return plan_frame_encoder(names(s), spec, clip.frames, c);
}

// The whole clip encoded, unknown frames grey.
Status fill_grey(const KnownLatents& s, const LatentSpec& spec,
                 const std::vector<const uint8_t*>& frames, RunContext* c) {
  const ClipShape& clip = c->plan.shape;
  const auto size = static_cast<size_t>(clip.height * clip.width * 3);
  const FrameSource source = [&](int64_t first, int64_t count, std::span<float> pixels) {
    for (int64_t i = 0; i < count; ++i) {
      const auto at = static_cast<size_t>(first + i);
      const auto to = pixels.subspan(static_cast<size_t>(i) * size, size);
      std::fill(to.begin(), to.end(), 0.0f);
      if (at >= frames.size() || frames[at] == nullptr) continue;
      const std::vector<float> one = pixels_to_floats({frames[at], size});
      std::copy(one.begin(), one.end(), to.begin());
    }
  };
  ZT_ASSIGN_OR_RETURN(const std::vector<float> encoded,
                      encode_frames(names(s), spec, clip.frames, source, c));
  const auto latents = c->values[s.gives].as<float>();
  ZT_CHECK(encoded.size() == latents.size());
  std::copy(encoded.begin(), encoded.end(), latents.begin());
  return Status();
}

// The mask from what is known frame by frame.
void mask_frames(const KnownLatents& s, const LatentSpec& spec,
                 const std::vector<const uint8_t*>& frames, const ClipShape& clip,
                 std::span<float> masks) {
  const auto known = [&](int64_t f) {
    return f < clip.frames && frames[static_cast<size_t>(f)] != nullptr;
  };
  const int64_t channels = s.mask == KnownLatents::Mask::kFrames ? spec.later_frames : 1;
  const int64_t places = clip.latent_height * clip.latent_width;
  for (int64_t t = 0; t < clip.latent_frames; ++t) {
    const int64_t count = t == 0 ? spec.first_frames : spec.later_frames;
    const int64_t first = t == 0 ? 0 : frames_of_latents(spec, t);
    bool all = true;
    for (int64_t f = first; f < std::min(first + count, clip.frames); ++f) all = all && known(f);
    for (int64_t p = 0; p < places; ++p)
      for (int64_t k = 0; k < channels; ++k) {
        const bool one = channels == 1 ? all : known(first + std::min(k, count - 1));
        masks[static_cast<size_t>((t * places + p) * channels + k)] =
            one ? static_cast<float>(s.mask_known) : 0.0f;
      }
  }
}

// Latents and masks of the key frames, and their times.
Status run_keys(const KnownLatents& s, const LatentSpec& spec, std::span<float> latents,
                std::span<float> masks, RunContext* c) {
  const ClipShape& clip = c->plan.shape;
  const std::vector<GivenKey> keys = given_keys(c->request.known, clip);
  StageValue& times = c->values[s.gives_key_times];
  times = StageValue::make({DType::kF32, {1, clip.key_frames}});
  const size_t one = latents.size() / keys.size(), places = masks.size() / keys.size();
  for (size_t i = 0; i < keys.size(); ++i) {
    KnownFrames frame{{keys[i].pixels.begin(), keys[i].pixels.end()}, 1};
    ZT_RETURN_IF_ERROR(check_pixels("a key frame", frame, clip));
    ZT_ASSIGN_OR_RETURN(const std::vector<float> encoded,
                        encode_frames(names(s), spec, 1, frames_from(frame, clip), c));
    ZT_CHECK(encoded.size() == one);
    std::copy(encoded.begin(), encoded.end(), latents.begin() + static_cast<int64_t>(i * one));
    std::fill_n(masks.begin() + static_cast<int64_t>(i * places), places,
                static_cast<float>(s.mask_known * keys[i].strength));
    times.as<float>()[i] = static_cast<float>(keys[i].frame);
  }
  return Status();
}

Status run_frames(const KnownLatents& s, const LatentSpec& spec, RunContext* c) {
  const ClipShape& clip = c->plan.shape;
  const auto keys = static_cast<size_t>(clip.key_frames);
  auto latents = c->values[s.gives].as<float>();
  auto masks = c->values[s.gives_mask].as<float>();
  if (keys > 0) {
    const size_t one = latents.size() / (static_cast<size_t>(clip.latent_frames) + keys);
    const size_t places = masks.size() / (static_cast<size_t>(clip.latent_frames) + keys);
    ZT_RETURN_IF_ERROR(run_keys(s, spec, latents.last(one * keys), masks.last(places * keys), c));
    latents = latents.first(latents.size() - one * keys);
    masks = masks.first(masks.size() - places * keys);
  }
  ZT_ASSIGN_OR_RETURN(const std::vector<const uint8_t*> frames,
                      find_frames(c->request.known, clip));
  if (!s.kept()) mask_frames(s, spec, frames, clip, masks);
  if (s.fill == KnownLatents::Fill::kGrey) return fill_grey(s, spec, frames, c);
  for (const GivenFrames& g : own_frames(s, c->request.known)) {
    ZT_ASSIGN_OR_RETURN(
        const std::vector<float> encoded,
        encode_frames(names(s), spec, g.frames->frames, frames_from(*g.frames, clip), c));
    const auto channels = static_cast<size_t>(spec.channels);
    const auto at = static_cast<int64_t>(g.at_end ? latents.size() - encoded.size() : 0);
    std::copy(encoded.begin(), encoded.end(), latents.begin() + at);
    if (!s.kept()) continue;
    const bool first = g.frames == &c->request.known.first;
    const double mask = is_part(g, spec, clip)
                            ? (g.at_end ? *s.mask_last_frame : *s.mask_first_frame)
                            : s.mask_known * (first ? c->request.known.first_strength : 1);
    std::fill_n(masks.begin() + at / static_cast<int64_t>(channels), encoded.size() / channels,
                static_cast<float>(mask));
  }
  return Status();
}

// All samples of a clip, as far as they are known: all of them, where shorter ending in silence, or
// those at the ends.
Result<std::vector<float>> known_samples(const KnownMedia& known, const ClipShape& clip,
                                         const LatentSpec& spec, int64_t channels) {
  const auto total = static_cast<size_t>(clip.samples * channels),
             heard = static_cast<size_t>(clip.sound_latents * spec.samples * channels);
  std::vector<float> input(std::max(total, heard));
  if (!known.audio.empty()) {
    std::copy_n(known.audio.begin(), std::min(known.audio.size(), input.size()), input.begin());
    input.resize(heard);
    return input;
  }
  const size_t before = known.before_sound.size(), after = known.after_sound.size();
  if (before + after > total || (before + after) % static_cast<size_t>(channels) != 0)
    return error(Code::kInvalidArgument, "the known sound has ", before + after,
                 " values; the clip has ", total, ", of ", channels, " channels");
  std::copy(known.before_sound.begin(), known.before_sound.end(), input.begin());
  std::copy(known.after_sound.begin(), known.after_sound.end(),
            input.begin() + static_cast<int64_t>(total - after));
  input.resize(heard);
  return input;
}

// Whether the latent's centre is known.
bool is_known(const KnownMedia& known, const LatentSpec& spec, const ClipShape& clip,
              int64_t channels, int64_t latent) {
  if (!known.audio.empty()) return true;
  const double before = static_cast<double>(known.before_sound.size()) / double(channels),
               after = static_cast<double>(known.after_sound.size()) / double(channels);
  const double centre = (static_cast<double>(latent) + 0.5) * spec.samples;
  return centre < before || (after > 0 && centre >= static_cast<double>(clip.samples) - after);
}

// Normalised latents of all samples, tile by tile; those of tiles in which nothing is known stay 0.
Result<std::vector<float>> encode_sound(const KnownLatents& s, const LatentSpec& spec,
                                        std::span<const float> samples,
                                        const std::vector<bool>& is_known, RunContext* c) {
  const Job& job = *c->plan.find(c->stage);
  const auto channels = static_cast<size_t>(spec.channels);
  const size_t one = samples.size() / is_known.size();  // values of a latent
  std::vector<float> latents(is_known.size() * channels);
  for (const Tile& tile : job.tiles.tiles) {
    if (std::none_of(is_known.begin() + tile.from, is_known.begin() + tile.to,
                     [](bool known) { return known; }))
      continue;
    ZT_ASSIGN_OR_RETURN(const std::vector<float> encoded,
                        encode(names(s), spec,
                               samples.subspan(static_cast<size_t>(tile.start) * one,
                                               static_cast<size_t>(job.tiles.length) * one),
                               job, c));
    // Where tiles are not exact, a later one's replaces what both have.
    std::copy(encoded.begin() + (tile.from - tile.start) * spec.channels,
              encoded.begin() + (tile.to - tile.start) * spec.channels,
              latents.begin() + tile.from * spec.channels);
  }
  return latents;
}

Status run_sound(const KnownLatents& s, const LatentSpec& spec, RunContext* c) {
  const KnownMedia& known = c->request.known;
  if (!known.has_sound()) return Status();
  const ClipShape& clip = c->plan.shape;
  const int64_t channels = c->plan.clip.sound_channels;
  ZT_ASSIGN_OR_RETURN(const std::vector<float> input, known_samples(known, clip, spec, channels));
  std::vector<bool> heard(static_cast<size_t>(clip.sound_latents));
  for (size_t i = 0; i < heard.size(); ++i)
    heard[i] = is_known(known, spec, clip, channels, static_cast<int64_t>(i));
  ZT_ASSIGN_OR_RETURN(const std::vector<float> encoded, encode_sound(s, spec, input, heard, c));
  const auto latents = c->values[s.gives].as<float>();
  const auto masks = c->values[s.gives_mask].as<float>();
  const size_t width = latents.size() / masks.size();
  for (size_t i = 0; i < masks.size(); ++i) {
    if (!heard[i]) continue;
    std::copy_n(encoded.begin() + static_cast<int64_t>(i * width), width,
                latents.begin() + static_cast<int64_t>(i * width));
    masks[i] = static_cast<float>(s.mask_known);
  }
  return Status();
}

Status run(const Stage& stage, RunContext* c) {
  const auto& s = std::get<KnownLatents>(stage);
  const LatentSpec& spec = *c->model.recipe.find_latents(s.latents);
  const Shape shape = known_shape(s, spec, c->plan.shape);
  c->values[s.gives] = StageValue::make({DType::kF32, shape});
  c->values[s.gives_mask] = StageValue::make({DType::kF32, mask_shape(s, spec, shape)});
  return spec.media == Modality::kSound ? run_sound(s, spec, c) : run_frames(s, spec, c);
}

}  // namespace

const StageDef kKnownLatentsStage{check, plan, run};

}  // namespace zoetrope
