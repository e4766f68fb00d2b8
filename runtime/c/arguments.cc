#include "runtime/c/arguments.h"

#include "converters/adapters.h"
#include "graph/format/hash.h"
#include "runtime/engine/find_stage.h"
#include "runtime/library.h"

namespace zoetrope {
namespace {

// `fixed`: there must be so many; 0: at most all of the clip.
Status take_frames(const char* what, const uint8_t* pixels, int64_t count, int64_t fixed,
                   const ClipShape& shape, KnownFrames* to) {
  if (pixels == nullptr && count == 0) return Status();
  const int64_t most = fixed > 0 ? fixed : shape.frames;
  if (pixels == nullptr)
    return error(Code::kInvalidArgument, "media.", what, ": ", count, " frames, and no pixels");
  if (count < 1 || count > most || (fixed > 0 && count != fixed))
    return error(Code::kInvalidArgument, "media.", what, ": ", count, " frames; expected ",
                 fixed > 0 ? "" : "1 to ", most, ", as the clip has ", shape.frames);
  to->pixels.assign(pixels, pixels + count * shape.height * shape.width * 3);
  to->frames = count;
  return Status();
}

// `given` samples of `channels`, which must be what `expected` frames last.
Status take_sound(const ClipSpec& clip, const char* what, const float* samples, int64_t given,
                  int channels, int64_t expected, std::vector<float>* to) {
  if (samples == nullptr && given == 0) return Status();
  if (samples == nullptr || given != expected || expected < 1)
    return error(Code::kInvalidArgument, "media.", what, ": ", given,
                 samples == nullptr ? " samples, and no data" : " samples", "; expected ",
                 expected);
  if (channels != clip.sound_channels)
    return error(Code::kInvalidArgument, "media.", what, ": ", channels,
                 " channels; this model's sound has ", clip.sound_channels);
  to->assign(samples, samples + given * channels);
  return Status();
}

// Sound that goes with known frames.
Status take_sound_of(const ClipSpec& clip, int fps, const char* what, const float* samples,
                     int64_t given, int channels, int64_t frames, std::vector<float>* to) {
  if (samples == nullptr && given == 0) return Status();
  if (clip.sample_rate <= 0 || frames < 1)
    return error(Code::kInvalidArgument, "media.", what, ": ",
                 frames < 1 ? "sound without its frames" : "this model makes no sound");
  return take_sound(clip, what, samples, given, channels,
                    samples_of_frames(frames, clip.sample_rate, fps), to);
}

// A clip that is made anew, and its rate, which what is made keeps.
Status take_source(const Recipe& recipe, const zoetrope_media& m, Request* request) {
  constexpr int64_t kMostFps = 1000;
  if (m.source_fps < 0 || m.source_fps > kMostFps)
    return error(Code::kInvalidArgument, "media.source_fps: ", m.source_fps, "; expected 1 to ",
                 kMostFps, ", or 0 for the model's");
  request->clip.fps = static_cast<int>(m.source_fps);
  ZT_ASSIGN_OR_RETURN(ClipShape given, resolve_clip_shape(recipe, request->clip));
  if (const auto* stage = find_stage<SourceClip>(recipe)) {
    given.width /= stage->scale;
    given.height /= stage->scale;
  }
  return take_frames("source", m.source, m.source_frames, given.frames, given,
                     &request->known.source);
}

Status take_references(const zoetrope_media& m, std::vector<ReferencePicture>* to) {
  constexpr int64_t kMost = kMaxReferences, kMostPixels = 16384;
  if (m.reference_count == 0 && m.references == nullptr) return Status();
  if (m.references == nullptr || m.reference_count < 1 || m.reference_count > kMost)
    return error(Code::kInvalidArgument, "media.references: ", m.reference_count,
                 m.references == nullptr ? " pictures, and no array" : " pictures",
                 "; expected 1 to ", kMost);
  for (int64_t i = 0; i < m.reference_count; ++i) {
    const zoetrope_picture& p = m.references[i];
    if (p.pixels == nullptr || p.width < 1 || p.height < 1 || p.width > kMostPixels ||
        p.height > kMostPixels)
      return error(Code::kInvalidArgument, "media.references[", i, "]: ", p.width, "x", p.height,
                   p.pixels == nullptr ? ", and no pixels" : "", "; expected 1 to ", kMostPixels,
                   " pixels each way");
    to->push_back({{p.pixels, p.pixels + p.width * p.height * 3}, p.width, p.height});
  }
  return Status();
}

Status take_media(const Recipe& recipe, const zoetrope_media& m, Request* request) {
  ZT_RETURN_IF_ERROR(take_source(recipe, m, request));
  ZT_RETURN_IF_ERROR(take_references(m, &request->known.references));
  ZT_ASSIGN_OR_RETURN(const ClipShape shape, resolve_clip_shape(recipe, request->clip));
  const int fps = fps_of(recipe, request->clip);
  KnownMedia& k = request->known;
  const auto frames = [&](const char* what, const uint8_t* pixels, int64_t count, int64_t fixed,
                          KnownFrames* to) {
    return take_frames(what, pixels, count, fixed, shape, to);
  };
  ZT_RETURN_IF_ERROR(frames("first", m.first, m.first != nullptr, 1, &k.first));
  ZT_RETURN_IF_ERROR(frames("last", m.last, m.last != nullptr, 1, &k.last));
  ZT_RETURN_IF_ERROR(frames("before", m.before, m.before_frames, 0, &k.before));
  ZT_RETURN_IF_ERROR(frames("after", m.after, m.after_frames, 0, &k.after));
  ZT_RETURN_IF_ERROR(frames("video", m.video, m.video_frames, shape.frames, &k.video));
  ZT_RETURN_IF_ERROR(frames("start", m.start, m.start_frames, shape.frames, &request->start));
  ZT_RETURN_IF_ERROR(take_sound_of(recipe.clip, fps, "before_sound", m.before_sound,
                                   m.before_samples, m.channels, m.before_frames, &k.before_sound));
  ZT_RETURN_IF_ERROR(take_sound_of(recipe.clip, fps, "after_sound", m.after_sound, m.after_samples,
                                   m.channels, m.after_frames, &k.after_sound));
  if (m.start != nullptr) {
    if (!(m.strength >= 0 && m.strength <= 1))
      return error(Code::kInvalidArgument, "media.strength: ", m.strength,
                   "; expected above 0 and at most 1, or 0 for the usual");
    if (m.strength > 0) request->strength = m.strength;
  }
  return take_sound(recipe.clip, "audio", m.audio, m.audio_samples, m.channels, shape.samples,
                    &k.audio);
}

// Headers of before sound said its length and channels: all of the clip's has the model's, as it
// did then; how long other sound is they cannot say.
Status take_older(const ClipSpec& clip, zoetrope_media* m) {
  if (m->size == 0 || m->size >= offsetof(zoetrope_media, channels) + sizeof(m->channels))
    return Status();
  for (const auto& [what, sound] :
       {std::pair{"before_sound", m->before_sound}, {"after_sound", m->after_sound}})
    if (sound != nullptr)
      return error(Code::kInvalidArgument, "media.", what,
                   ": this program's zoetrope.h is older and does not say how long it is; build it "
                   "with a newer one");
  m->channels = clip.sound_channels;
  return Status();
}

}  // namespace

std::string dump(const nlohmann::json& json) {
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

Result<std::shared_ptr<const WeightSource>> open_adapters(
    const Model& model, const std::vector<AdapterRecord>& adapters) {
  std::vector<AdapterFile> files;
  for (const AdapterRecord& a : adapters) {
    if (!a.file.digest.empty()) {
      ZT_ASSIGN_OR_RETURN(const std::string found, file_digest(a.file.path));
      if (found != a.file.digest)
        return error(Code::kDataLoss, "the adapter ", a.file.path,
                     " is not the file that it was: ", found, "; expected ", a.file.digest);
    }
    files.push_back({a.component, a.file.path, a.strength});
  }
  return adapt_weights(model.components, model.family, *model.weights, files);
}

Result<Request> read_request(const Engine& engine, const char* text, const zoetrope_media* media,
                             RequestRecord* record) {
  ZT_RETURN_IF_ERROR(need(text, "request"));
  RequestArgument argument;
  ZT_RETURN_IF_ERROR(read_json(text, "request", &argument));
  if (record != nullptr) {
    record->request = argument.request;
    record->adapters = argument.adapters;
    for (AdapterRecord& a : record->adapters) {
      ZT_ASSIGN_OR_RETURN(a.file.digest, file_digest(a.file.path));
    }
    record->model_name = engine.model().name;
    record->model = {engine.model().path, engine.model().digest};
  }
  Request& request = argument.request;
  ZT_ASSIGN_OR_RETURN(request.weights, open_adapters(engine.model(), argument.adapters));
  zoetrope_media m;
  ZT_RETURN_IF_ERROR(read_struct(media, "zoetrope_media", &m));
  ZT_RETURN_IF_ERROR(take_older(engine.model().recipe.clip, &m));
  if (media != nullptr) ZT_RETURN_IF_ERROR(take_media(engine.model().recipe, m, &request));
  return std::move(request);
}

Result<EngineOptions> engine_options(const DeviceRecord& devices) {
  EngineOptions options;
  options.devices = {.threads = devices.threads, .force_target = devices.target};
  auto placement = parse_placement(devices.place, devices.device);
  if (!placement.ok()) return placement.status().with_context("options");
  options.placement = std::move(*placement);
  return options;
}

Result<std::string> model_or_default(const char* path) {
  if (path != nullptr && *path != '\0') return std::string(path);
  return installed_model(ZOETROPE_EMBEDDED_MODEL);
}

}  // namespace zoetrope
