#include "include/zoetrope.h"

#include <cstdlib>
#include <cstring>
#include <new>
#include <nlohmann/json.hpp>

#include "graph/attrs.h"
#include "runtime/backend/registry.h"
#include "runtime/engine/engine.h"
#include "runtime/engine/request_record.h"

struct zoetrope_engine {
  std::unique_ptr<zoetrope::Engine> engine;
};

namespace zoetrope {
namespace {

using Json = nlohmann::json;

thread_local std::string t_message;

int code_of(Code code) {
  switch (code) {
    case Code::kOk: return ZOETROPE_OK;
    case Code::kInvalidArgument: return ZOETROPE_INVALID_ARGUMENT;
    case Code::kNotFound: return ZOETROPE_NOT_FOUND;
    case Code::kUnsupported: return ZOETROPE_UNSUPPORTED;
    case Code::kResourceExhausted: return ZOETROPE_RESOURCE_EXHAUSTED;
    case Code::kDataLoss: return ZOETROPE_DATA_LOSS;
    case Code::kUnavailable: return ZOETROPE_UNAVAILABLE;
    case Code::kCancelled: return ZOETROPE_CANCELLED;
    case Code::kIoError: return ZOETROPE_IO_ERROR;
    default: return ZOETROPE_INTERNAL;
  }
}

int fail(int code, const char* message) noexcept {
  try {
    t_message = message;
  } catch (...) {
    t_message.clear();
  }
  return code;
}

// Nothing is thrown through C.
template <typename Work>
int guarded(const Work& work) noexcept {
  try {
    const Status status = work();
    return status.ok() ? ZOETROPE_OK : fail(code_of(status.code()), status.message().c_str());
  } catch (const std::bad_alloc&) {
    return fail(ZOETROPE_RESOURCE_EXHAUSTED, "out of memory");
  } catch (const std::exception& e) {
    return fail(ZOETROPE_INTERNAL, e.what());
  } catch (...) {
    return fail(ZOETROPE_INTERNAL, "an exception of an unknown kind");
  }
}

Status need(const void* pointer, const char* what) {
  return pointer != nullptr ? Status()
                            : error(Code::kInvalidArgument, what, ": expected one, found NULL");
}

Status give(const std::string& text, char** out) {
  char* copy = static_cast<char*>(std::malloc(text.size() + 1));
  if (copy == nullptr) return error(Code::kResourceExhausted, "out of memory");
  std::memcpy(copy, text.c_str(), text.size() + 1);
  *out = copy;
  return Status();
}

std::string dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

// A request's own keys; files are the caller's to read.
Result<Request> read_request(const char* text) {
  ZT_RETURN_IF_ERROR(need(text, "request"));
  const Json json = Json::parse(text, text + std::strlen(text), nullptr, false);
  if (json.is_discarded()) return error(Code::kInvalidArgument, "request: not JSON");
  Request request;
  JsonReader reader(json, "request");
  fields(reader, request);
  const Status status = reader.finish();
  if (!status.ok()) return Status(Code::kInvalidArgument, status.message());
  return request;
}

// A struct of the caller's, of an older or a newer header; what its header lacks is 0.
template <typename T>
Status read_struct(const T* given, const char* what, T* out) {
  *out = T{};
  if (given == nullptr) return Status();
  if (given->size < sizeof(size_t) || given->size > 1 << 16)
    return error(Code::kInvalidArgument, what, ".size is ", given->size, "; set it to sizeof(",
                 what, ")");
  std::memcpy(out, given, std::min(given->size, sizeof(T)));
  return Status();
}

Status take_frames(const char* what, const uint8_t* pixels, int64_t count, const ClipShape& shape,
                   KnownFrames* to) {
  if (pixels == nullptr && count == 0) return Status();
  if (pixels == nullptr || count < 1 || count > shape.frames)
    return error(Code::kInvalidArgument, "media.", what, ": ", count,
                 pixels == nullptr ? " frames, and no pixels" : " frames", "; this clip has ",
                 shape.frames);
  to->pixels.assign(pixels, pixels + count * shape.height * shape.width * 3);
  to->frames = count;
  return Status();
}

Status take_media(const Recipe& recipe, const zoetrope_media& m, Request* request) {
  ZT_ASSIGN_OR_RETURN(const ClipShape shape, resolve_clip_shape(recipe, request->clip));
  KnownMedia& k = request->known;
  ZT_RETURN_IF_ERROR(take_frames("first", m.first, m.first != nullptr, shape, &k.first));
  ZT_RETURN_IF_ERROR(take_frames("last", m.last, m.last != nullptr, shape, &k.last));
  ZT_RETURN_IF_ERROR(take_frames("before", m.before, m.before_frames, shape, &k.before));
  ZT_RETURN_IF_ERROR(take_frames("after", m.after, m.after_frames, shape, &k.after));
  ZT_RETURN_IF_ERROR(take_frames("video", m.video, m.video_frames, shape, &k.video));
  ZT_RETURN_IF_ERROR(take_frames("start", m.start, m.start_frames, shape, &request->start));
  if (m.start != nullptr) request->strength = m.strength;
  if (m.audio == nullptr && m.audio_samples == 0) return Status();
  if (m.audio == nullptr || m.audio_samples != shape.samples)
    return error(Code::kInvalidArgument, "media.audio: ", m.audio_samples,
                 " samples; this clip has ", shape.samples);
  k.audio.assign(m.audio, m.audio + shape.samples * recipe.clip.sound_channels);
  return Status();
}

// What the engine gives goes to the callbacks.
class CallbackSink : public ClipSink {
 public:
  CallbackSink(const zoetrope_callbacks& calls, const Recipe& recipe, const ClipShape& shape)
      : calls_(calls), recipe_(recipe), shape_(shape) {}
  Status frames(const uint8_t* pixels, int64_t count) override {
    return said(calls_.frames == nullptr ||
                calls_.frames(calls_.user, pixels, count, shape_.width, shape_.height) == 0);
  }
  Status audio(const float* samples, int64_t count) override {
    return said(calls_.audio == nullptr ||
                calls_.audio(calls_.user, samples, count, recipe_.clip.sound_channels,
                             recipe_.clip.sample_rate) == 0);
  }

 private:
  static Status said(bool go_on) {
    return go_on ? Status() : error(Code::kCancelled, "cancelled by a callback");
  }
  const zoetrope_callbacks& calls_;
  const Recipe& recipe_;
  const ClipShape& shape_;
};

Status run(Engine& engine, const char* text, const zoetrope_media* given_media,
           const zoetrope_callbacks* given_calls, char** stats_out) {
  ZT_ASSIGN_OR_RETURN(Request request, read_request(text));
  zoetrope_media media;
  zoetrope_callbacks calls;
  ZT_RETURN_IF_ERROR(read_struct(given_media, "zoetrope_media", &media));
  ZT_RETURN_IF_ERROR(read_struct(given_calls, "zoetrope_callbacks", &calls));
  const Recipe& recipe = engine.model().recipe;
  ZT_RETURN_IF_ERROR(take_media(recipe, media, &request));
  ZT_ASSIGN_OR_RETURN(const ClipShape shape, resolve_clip_shape(recipe, request.clip));
  CallbackSink sink(calls, recipe, shape);
  bool stopped = false;
  RunHooks hooks;
  hooks.progress = [&](std::string_view task, double done, double total) {
    return !stopped && (calls.progress == nullptr ||
                        calls.progress(calls.user, std::string(task).c_str(), done, total) == 0);
  };
  hooks.notice = [&](const std::string& notice) {
    if (calls.notice != nullptr && calls.notice(calls.user, notice.c_str()) != 0) stopped = true;
  };
  ZT_ASSIGN_OR_RETURN(const RunStats stats, engine.run(request, sink, hooks));
  if (stats_out == nullptr) return Status();
  return give(dump({{"width", shape.width},
                    {"height", shape.height},
                    {"frames", shape.frames},
                    {"samples", shape.samples},
                    {"load_seconds", stats.load_seconds},
                    {"first_step_seconds", stats.first_step_seconds},
                    {"denoise_seconds", stats.denoise_seconds},
                    {"decode_seconds", stats.decode_seconds},
                    {"total_seconds", stats.total_seconds},
                    {"planned_peak_bytes", stats.planned_peak_bytes},
                    {"peak_bytes", stats.peak_bytes}}),
              stats_out);
}

Json describe(const Graph& graph) {
  Json inputs = Json::array(), outputs = Json::array();
  for (const ValueId id : graph.inputs) {
    const Value& v = graph.value(id);
    inputs.push_back({{"name", v.name},
                      {"dtype", std::string(dtype_name(v.type.dtype))},
                      {"shape", attr_to_string(v.dims)}});
  }
  for (const GraphOutput& out : graph.outputs) outputs.push_back(out.name);
  return {{"name", graph.name}, {"inputs", inputs}, {"outputs", outputs}};
}

Json describe(const BackendStatus& backend) {
  Json list = Json::array();
  if (!backend.status.ok())
    list.push_back(
        {{"backend", backend.name}, {"available", false}, {"reason", backend.status.message()}});
  for (size_t i = 0; i < backend.devices.size(); ++i) {
    const DeviceInfo& d = backend.devices[i];
    Json entry = {{"backend", backend.name}, {"index", i},
                  {"name", d.name},          {"available", d.unusable.empty()},
                  {"software", d.software},  {"memory_bytes", d.memory_bytes},
                  {"features", d.features}};
    if (!d.unusable.empty()) entry["reason"] = d.unusable;
    list.push_back(std::move(entry));
  }
  return list;
}

}  // namespace
}  // namespace zoetrope

using namespace zoetrope;

int zoetrope_abi(void) { return ZOETROPE_ABI; }
const char* zoetrope_version(void) { return ZOETROPE_VERSION; }
const char* zoetrope_message(void) { return t_message.c_str(); }
void zoetrope_free(void* memory) { std::free(memory); }

int zoetrope_devices(char** json) {
  return guarded([&]() -> Status {
    ZT_RETURN_IF_ERROR(need(json, "json"));
    Json list = Json::array();
    for (const BackendStatus& backend : list_backends({}))
      for (Json& entry : describe(backend)) list.push_back(std::move(entry));
    return give(dump(list), json);
  });
}

int zoetrope_open(const char* path, const char* text, zoetrope_engine** engine) {
  return guarded([&]() -> Status {
    ZT_RETURN_IF_ERROR(need(path, "path"));
    ZT_RETURN_IF_ERROR(need(engine, "engine"));
    DeviceRecord devices;
    if (text != nullptr) {
      const Json json = Json::parse(text, text + std::strlen(text), nullptr, false);
      if (json.is_discarded()) return error(Code::kInvalidArgument, "options: not JSON");
      JsonReader reader(json, "options");
      fields(reader, devices);
      const Status read = reader.finish();
      if (!read.ok()) return Status(Code::kInvalidArgument, read.message());
    }
    EngineOptions options;
    options.devices = {.threads = devices.threads, .force_target = devices.target};
    ZT_ASSIGN_OR_RETURN(options.placement, parse_placement(devices.place, devices.device));
    auto opened = std::make_unique<zoetrope_engine>();
    ZT_ASSIGN_OR_RETURN(opened->engine, Engine::open(path, std::move(options)));
    *engine = opened.release();
    return Status();
  });
}

void zoetrope_close(zoetrope_engine* engine) { delete engine; }

int zoetrope_inspect(zoetrope_engine* engine, char** json) {
  return guarded([&]() -> Status {
    ZT_RETURN_IF_ERROR(need(engine, "engine"));
    ZT_RETURN_IF_ERROR(need(json, "json"));
    const Model& model = engine->engine->model();
    Json components = Json::array();
    for (const auto& [name, graph] : model.components) components.push_back(describe(graph));
    return give(dump({{"name", model.name},
                      {"family", model.family},
                      {"digest", model.digest},
                      {"components", components},
                      {"vocabulary", model.vocabulary},
                      {"recipe", Json::parse(recipe_to_json(model.recipe))}}),
                json);
  });
}

int zoetrope_plan(zoetrope_engine* engine, const char* text, char** json) {
  return guarded([&]() -> Status {
    ZT_RETURN_IF_ERROR(need(engine, "engine"));
    ZT_RETURN_IF_ERROR(need(json, "json"));
    ZT_ASSIGN_OR_RETURN(const Request request, read_request(text));
    ZT_ASSIGN_OR_RETURN(const RequestPlan plan, engine->engine->plan(request));
    return give(request_plan_to_json(plan, /*calls=*/false), json);
  });
}

int zoetrope_run(zoetrope_engine* engine, const char* request, const zoetrope_media* media,
                 const zoetrope_callbacks* callbacks, char** stats) {
  return guarded([&]() -> Status {
    ZT_RETURN_IF_ERROR(need(engine, "engine"));
    return run(*engine->engine, request, media, callbacks, stats);
  });
}
