// Opening, planning, running, and what is asked without a model.
#include <cstdlib>

#include "graph/attrs.h"
#include "runtime/backend/devices_json.h"
#include "runtime/c/arguments.h"
#include "runtime/c/errors.h"
#include "runtime/c/hooks.h"
#include "runtime/c/objects.h"
#include "runtime/verify/receipt.h"

namespace zoetrope {

Handles<zoetrope_engine, OpenEngine>& engines() {
  static auto* const all = new Handles<zoetrope_engine, OpenEngine>("engine");
  return *all;
}
Handles<zoetrope_token, std::stop_source>& tokens() {
  static auto* const all = new Handles<zoetrope_token, std::stop_source>("token");
  return *all;
}

namespace {

using Json = nlohmann::json;

Json describe(const Graph& graph) {
  Json inputs = Json::array(), outputs = Json::array();
  for (const ValueId id : graph.inputs) {
    const Value& v = graph.value(id);
    inputs.push_back({{"name", v.name},
                      {"dtype", std::string(dtype_name(v.type.dtype))},
                      {"shape", attr_to_string(v.dims)},
                      {"state", is_state(graph, id)}});
  }
  for (const GraphOutput& out : graph.outputs) outputs.push_back(out.name);
  return {{"name", graph.name}, {"inputs", inputs}, {"outputs", outputs}};
}

Json describe(const RequestPlan& plan, const RunStats& stats) {
  return {{"width", plan.shape.width},
          {"height", plan.shape.height},
          {"frames", plan.shape.frames},
          {"pictures", plan.samples},
          {"fps", plan.clip.fps},
          {"samples", plan.shape.samples},
          {"sample_rate", plan.clip.sample_rate},
          {"channels", plan.clip.sound_channels},
          {"load_seconds", stats.load_seconds},
          {"first_step_seconds", stats.first_step_seconds},
          {"denoise_seconds", stats.denoise_seconds},
          {"decode_seconds", stats.decode_seconds},
          {"total_seconds", stats.total_seconds},
          {"planned_peak_bytes", stats.planned_peak_bytes},
          {"peak_bytes", stats.peak_bytes}};
}

// Of this engine's model; null where it makes no picture.
Result<const Preview*> preview_of(OpenEngine& open, const std::stop_token& stop) {
  const std::lock_guard lock(open.preview_mutex);
  if (!open.preview) {
    auto fitted = Preview::fit(*open.engine, stop);
    if (fitted.status().code() == Code::kUnsupported) return static_cast<const Preview*>(nullptr);
    if (!fitted.ok()) return fitted.status();
    open.preview.emplace(std::move(*fitted));
  }
  return &*open.preview;
}

Status run(OpenEngine& open, const char* text, const zoetrope_media* media,
           const zoetrope_callbacks* given, char** result) {
  Engine& engine = *open.engine;
  RequestRecord record;
  const bool receipt = result != nullptr && media == nullptr;
  ZT_ASSIGN_OR_RETURN(const Request request,
                      read_request(engine, text, media, receipt ? &record : nullptr));
  ZT_ASSIGN_OR_RETURN(Callbacks calls, Callbacks::create(given));
  RunHooks hooks = calls.hooks();
  ZT_ASSIGN_OR_RETURN(const RequestPlan plan, engine.plan(request, {}, hooks.stop));
  const Preview* preview = nullptr;
  if (calls.previews()) {
    ZT_ASSIGN_OR_RETURN(preview, preview_of(open, hooks.stop));
  }
  if (preview != nullptr)
    hooks.denoised = [&](std::span<const float> latents, int step, int) {
      calls.preview(*preview, plan, latents, step);
    };
  calls.expect(expected_tasks(plan));
  CallbackSink sink(calls, engine.model().recipe, plan.shape.width, plan.shape.height);
  StageLog log(&sink, kReceiptSamples, /*keep_clip=*/false);
  log.begin(plan.shape.width * plan.shape.height * 3, plan.clip.sound_channels);
  if (receipt) hooks.observe = [&log](const Observation& made) { return log.observe(made); };
  ZT_ASSIGN_OR_RETURN(const RunStats stats,
                      engine.run(request, receipt ? log : static_cast<ClipSink&>(sink), hooks));
  if (result == nullptr) return Status();
  Json answer = describe(plan, stats);
  answer["receipt"] = nullptr;
  if (receipt) {
    record.devices = open.devices;
    answer["receipt"] = Json::parse(receipt_to_json(make_receipt(
        std::string("Zoetrope ") + ZOETROPE_VERSION, std::move(record), plan, log.records())));
  }
  return give(dump(answer), result);
}

}  // namespace
}  // namespace zoetrope

using namespace zoetrope;

int zoetrope_abi(void) { return ZOETROPE_ABI; }
const char* zoetrope_version(void) { return ZOETROPE_VERSION; }
const char* zoetrope_message(void) { return last_message(); }
void zoetrope_free(void* memory) { std::free(memory); }

const char* zoetrope_code_name(int code) {
  for (int c = 0; c <= static_cast<int>(Code::kInternal); ++c)
    if (c_code(static_cast<Code>(c)) == code) return code_name(static_cast<Code>(c)).data();
  return "unknown code";
}

int zoetrope_devices(char** json) {
  return guarded_work([&]() -> Status {
    ZT_RETURN_IF_ERROR(need(json, "json"));
    return give(dump(devices_to_json(list_backends({}))), json);
  });
}

int zoetrope_default_model(char** path) {
  return guarded([&]() -> Status {
    ZT_RETURN_IF_ERROR(need(path, "path"));
    ZT_ASSIGN_OR_RETURN(const std::string found, model_or_default(nullptr));
    return give(found, path);
  });
}

int zoetrope_token_create(zoetrope_token** token) {
  return guarded([&]() -> Status {
    ZT_RETURN_IF_ERROR(need(token, "token"));
    *token = tokens().add(std::make_shared<std::stop_source>());
    return Status();
  });
}

int zoetrope_token_cancel(zoetrope_token* token) {
  return guarded([&]() -> Status {
    ZT_ASSIGN_OR_RETURN(const auto source, tokens().find(token));
    source->request_stop();
    return Status();
  });
}

void zoetrope_token_free(zoetrope_token* token) { tokens().remove(token); }

int zoetrope_open(const char* path, const char* text, zoetrope_engine** engine) {
  return guarded_work([&]() -> Status {
    ZT_RETURN_IF_ERROR(need(engine, "engine"));
    DeviceRecord devices;
    ZT_RETURN_IF_ERROR(read_json(text, "options", &devices));
    ZT_ASSIGN_OR_RETURN(EngineOptions options, engine_options(devices));
    ZT_ASSIGN_OR_RETURN(const std::string model, model_or_default(path));
    auto opened = std::make_shared<OpenEngine>();
    opened->devices = devices;
    ZT_ASSIGN_OR_RETURN(opened->engine, Engine::open(model, std::move(options)));
    *engine = engines().add(std::move(opened));
    return Status();
  });
}

void zoetrope_close(zoetrope_engine* engine) { engines().remove(engine); }

int zoetrope_release(zoetrope_engine* engine) {
  return guarded([&]() -> Status {
    ZT_ASSIGN_OR_RETURN(const auto open, engines().find(engine));
    open->engine->release();
    return Status();
  });
}

int zoetrope_inspect(zoetrope_engine* engine, char** json) {
  return guarded([&]() -> Status {
    ZT_ASSIGN_OR_RETURN(const auto open, engines().find(engine));
    ZT_RETURN_IF_ERROR(need(json, "json"));
    const Model& model = open->engine->model();
    Json components = Json::array();
    for (const auto& [name, graph] : model.components) components.push_back(describe(graph));
    return give(dump({{"name", model.name},
                      {"family", model.family},
                      {"path", model.path},
                      {"digest", model.digest},
                      {"components", components},
                      {"vocabulary", model.vocabulary},
                      {"recipe", Json::parse(recipe_to_json(model.recipe))}}),
                json);
  });
}

int zoetrope_plan(zoetrope_engine* engine, const char* text, const zoetrope_media* media,
                  char** json) {
  return guarded_work([&]() -> Status {
    ZT_ASSIGN_OR_RETURN(const auto open, engines().find(engine));
    ZT_RETURN_IF_ERROR(need(json, "json"));
    ZT_ASSIGN_OR_RETURN(const Request request, read_request(*open->engine, text, media));
    ZT_ASSIGN_OR_RETURN(const RequestPlan plan, open->engine->plan(request));
    return give(request_plan_to_json(plan, /*calls=*/false), json);
  });
}

int zoetrope_run(zoetrope_engine* engine, const char* request, const zoetrope_media* media,
                 const zoetrope_callbacks* callbacks, char** result) {
  return guarded_work([&]() -> Status {
    ZT_ASSIGN_OR_RETURN(const auto open, engines().find(engine));
    return run(*open, request, media, callbacks, result);
  });
}
