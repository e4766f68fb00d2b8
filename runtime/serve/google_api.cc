// Google's long-running operations, as Veo's clients speak them: Gemini's paths, and Vertex AI's,
// which the google-genai package takes. A job is an operation.
#include <algorithm>
#include <cmath>

#include "runtime/engine/find_stage.h"
#include "runtime/serve/http.h"

namespace zoetrope {
namespace {

using Json = nlohmann::json;

enum class Dialect : uint8_t { kGemini, kVertex };

constexpr const char* kPrefix[] = {"models/", "publishers/google/models/"};

Status wrong(const auto&... what) { return error(Code::kInvalidArgument, what...); }

Json google_error(const Fault& fault) {
  const char* status = fault.http == 404   ? "NOT_FOUND"
                       : fault.http == 401 ? "UNAUTHENTICATED"
                       : fault.http == 429 ? "RESOURCE_EXHAUSTED"
                       : fault.http < 500  ? "INVALID_ARGUMENT"
                       : fault.http == 503 ? "UNAVAILABLE"
                                           : "INTERNAL";
  return {
      {"error", {{"code", fault.http}, {"message", fault.status.message()}, {"status", status}}}};
}

// A parameter of that type; null where it is not given.
const Json* parameter(const Json& all, const char* key, Json::value_t type, Status* status) {
  const auto it = all.find(key);
  if (it == all.end() || it->is_null()) return nullptr;
  const bool number = type == Json::value_t::number_float && it->is_number();
  if (it->type() == type || number) return &*it;
  if (status->ok()) *status = wrong("'parameters.", key, "' is of another type");
  return nullptr;
}

// "16:9" and "720p", or what the model prefers in that shape: as many pixels, in steps of its own.
Status read_shape(const std::string& aspect, const std::string& resolution, const Recipe& recipe,
                  ClipRequest* clip) {
  if (aspect.empty() && resolution.empty()) return Status();
  double across = 16, down = 9;
  char rest = 0;
  if (!aspect.empty() &&
      (std::sscanf(aspect.c_str(), "%lf:%lf%c", &across, &down, &rest) != 2 || !(across > 0) ||
       !(down > 0) || !(across / down < 100) || !(down / across < 100)))
    return wrong("'parameters.aspectRatio' must be such as 16:9");
  const Range& width = recipe.clip.width;
  const Range& height = recipe.clip.height;
  double unit = 0;  // pixels for each of the aspect's numbers
  if (resolution.empty()) {
    unit = std::sqrt(static_cast<double>(width.preferred * height.preferred) / (across * down));
    unit = std::max(
        {unit, static_cast<double>(width.min) / across, static_cast<double>(height.min) / down});
    unit = std::min(
        {unit, static_cast<double>(width.max) / across, static_cast<double>(height.max) / down});
  } else {
    const int64_t lines = resolution == "4k" ? 2160 : std::atoll(resolution.c_str());
    if (lines < 1 || lines > 8192 || (resolution != "4k" && resolution != str(lines, "p")))
      return wrong("'parameters.resolution' must be such as 720p");
    unit = static_cast<double>(lines) / std::min(across, down);
  }
  const auto round = [&](double pixels, const Range& range) {
    const int64_t step = std::max<int64_t>(range.multiple, 1);
    return std::max<int64_t>(1, std::llround(pixels / static_cast<double>(step))) * step;
  };
  clip->width = round(across * unit, width);
  clip->height = round(down * unit, height);
  return Status();
}

Status check_keys_of(const Json& json, const char* what, const std::set<std::string>& known) {
  Body body;
  body.json = json;
  return check_keys(body, known).with_context(what);
}

// Google's packages read of a file's address letters and digits alone: a job's id without its '_'.
constexpr std::string_view kJobPrefix = "video_";

std::string file_of_job(const std::string& id) {
  return str(kJobPrefix.substr(0, kJobPrefix.size() - 1), id.substr(kJobPrefix.size()));
}

std::string job_of_file(const std::string& name) {
  const std::string_view bare = kJobPrefix.substr(0, kJobPrefix.size() - 1);
  if (!name.starts_with(bare) || name.starts_with(kJobPrefix)) return name;
  return str(kJobPrefix, name.substr(bare.size()));
}

// {"bytesBase64Encoded"}, or a clip that this service made by its address.
Result<GivenMedia> read_media(Call& c, const Json& instance, const char* key) {
  const auto it = instance.find(key);
  if (it == instance.end() || it->is_null()) return GivenMedia();
  if (it->is_object())
    ZT_RETURN_IF_ERROR(check_keys_of(
        *it, key, {"bytesBase64Encoded", "encodedVideo", "mimeType", "encoding", "uri"}));
  if (it->is_object() &&
      it->count("bytesBase64Encoded") + it->count("encodedVideo") + it->count("uri") > 1)
    return wrong("'", key, "' must have one of bytesBase64Encoded, encodedVideo and uri");
  const Json* data = it->is_object() && it->contains("bytesBase64Encoded")
                         ? &(*it)["bytesBase64Encoded"]
                     : it->is_object() && it->contains("encodedVideo") ? &(*it)["encodedVideo"]
                                                                       : nullptr;
  if (data != nullptr && data->is_string()) {
    auto bytes = read_base64(data->get_ref<const std::string&>());
    if (!bytes.ok()) return bytes.status().with_context(key);
    ZT_ASSIGN_OR_RETURN(const GivenFile file, add_file(c, *bytes));
    return GivenMedia{file.id, "", ""};
  }
  if (it->is_object() && it->contains("uri") && (*it)["uri"].is_string()) {
    const std::string uri = (*it)["uri"];
    const size_t begin = uri.find("files/");
    const std::string name =
        begin == std::string::npos ? "" : uri.substr(begin + 6, uri.find(':', begin) - begin - 6);
    if (!name.empty()) return GivenMedia{"", job_of_file(name), ""};
  }
  return wrong("'", key, "' must have 'bytesBase64Encoded', or a 'uri' of this service");
}

// Pictures of who or what the clip shows: those of a style are another thing, which nothing here is
// trained for.
Status read_references(Call& c, const Json& instance, std::vector<GivenMedia>* to) {
  const auto list = instance.find("referenceImages");
  if (list == instance.end() || list->is_null()) return Status();
  if (!list->is_array() || list->size() > kMaxReferences)
    return wrong("'referenceImages' must be a list of at most ", kMaxReferences);
  for (const Json& entry : *list) {
    if (!entry.is_object()) return wrong("'referenceImages' must be objects");
    ZT_RETURN_IF_ERROR(check_keys_of(entry, "referenceImages", {"image", "referenceType"}));
    const Json type = entry.value("referenceType", Json("asset"));
    if (!type.is_string() || (type != "asset" && type != "ASSET"))
      return wrong("'referenceImages': here 'referenceType' is asset");
    ZT_ASSIGN_OR_RETURN(GivenMedia media, read_media(c, entry, "image"));
    if (!media.given()) return wrong("'referenceImages': each must have an 'image'");
    to->push_back(std::move(media));
  }
  return Status();
}

Result<ClientRequest> read_request(Call& c, const Json& json) {
  ZT_RETURN_IF_ERROR(check_keys_of(json, "request", {"instances", "parameters", "labels"}));
  if (json.contains("labels") && !json["labels"].is_object())
    return wrong("'labels' must be an object");
  const Json instances = json.value("instances", Json());
  if (!instances.is_array() || instances.size() != 1 || !instances[0].is_object())
    return wrong("'instances' must be a list of one object");
  const Json& instance = instances[0];
  ZT_RETURN_IF_ERROR(check_keys_of(instance, "instances[0]",
                                   {"prompt", "image", "lastFrame", "video", "referenceImages"}));
  ClientRequest request;
  request.model = c.part(0);
  if (!instance.contains("prompt") || !instance["prompt"].is_string())
    return wrong("'instances[0].prompt' must be text");
  request.request.prompt = instance["prompt"];
  ZT_ASSIGN_OR_RETURN(request.media[0], read_media(c, instance, "image"));
  ZT_ASSIGN_OR_RETURN(request.media[1], read_media(c, instance, "lastFrame"));
  ZT_RETURN_IF_ERROR(read_references(c, instance, &request.references));
  ZT_ASSIGN_OR_RETURN(const std::shared_ptr<Engine> engine,
                      c.context.service.models().find(request.model));
  const Recipe& recipe = engine->model().recipe;
  // Veo extends it; models that make a clip anew are given it.
  GivenMedia& clip = request.media[find_stage<SourceClip>(recipe) != nullptr ? 4 : 2];
  ZT_ASSIGN_OR_RETURN(clip, read_media(c, instance, "video"));

  const Json p = json.contains("parameters") ? json["parameters"] : Json::object();
  if (!p.is_object()) return wrong("'parameters' must be an object");
  ZT_RETURN_IF_ERROR(check_keys_of(
      p, "parameters",
      {"aspectRatio", "durationSeconds", "resolution", "negativePrompt", "seed", "generateAudio",
       "sampleCount", "personGeneration", "enhancePrompt", "fps", "resizeMode"}));
  Status status;
  const auto text = [&](const char* key) {
    const Json* found = parameter(p, key, Json::value_t::string, &status);
    return found != nullptr ? found->get<std::string>() : std::string();
  };
  const auto number = [&](const char* key) {
    const Json* found = parameter(p, key, Json::value_t::number_float, &status);
    return found != nullptr ? found->get<double>() : 0.0;
  };
  ZT_RETURN_IF_ERROR(
      read_shape(text("aspectRatio"), text("resolution"), recipe, &request.request.clip));
  request.request.negative = text("negativePrompt");
  request.request.clip.seconds = number("durationSeconds");
  if (!(request.request.clip.seconds >= 0 && request.request.clip.seconds <= 1e6))
    return wrong("'parameters.durationSeconds' must be a number of seconds");
  const Json* seed = parameter(p, "seed", Json::value_t::number_float, &status);
  if (seed != nullptr && !seed->is_number_unsigned())
    return wrong("'parameters.seed' must be a whole number");
  request.request.seed = seed != nullptr ? seed->get<uint64_t>() : draw_seed();
  const std::string resize = text("resizeMode");
  if (resize == "pad") request.fit = "contain";
  (void)text("personGeneration");  // inert, as "labels" are: docs/serve.md
  ZT_RETURN_IF_ERROR(status);
  if (!resize.empty() && resize != "pad" && resize != "crop")
    return wrong("'parameters.resizeMode' must be pad or crop");
  if (p.contains("sampleCount") && number("sampleCount") != 1)
    return wrong("'parameters.sampleCount': an operation makes one clip");
  if (p.contains("fps") && number("fps") != recipe.clip.fps)
    return wrong("'parameters.fps': this model makes ", recipe.clip.fps);
  for (const auto& [key, fixed] :
       {std::pair{"generateAudio", recipe.clip.sample_rate > 0}, {"enhancePrompt", false}})
    if (p.contains(key) && p[key] != fixed)
      return wrong("'parameters.", key, "': here it is ", fixed ? "true" : "false");
  return request;
}

std::string name_of(Dialect dialect, const ServeJob& job) {
  return kPrefix[static_cast<size_t>(dialect)] + job.model + "/operations/" + job.id;
}

Result<Json> operation(Call& c, const JobView& view, Dialect dialect) {
  const ServeJob& j = view.job;
  Json out = {{"name", name_of(dialect, j)}, {"done", j.finished > 0}};
  if (view.progress)
    out["metadata"] = {{"progressPercent", std::floor(100 * view.progress->fraction)}};
  if (j.state == JobState::kFailed || j.state == JobState::kCancelled)
    out["error"] = {{"code", j.state == JobState::kCancelled ? 1 : 13},
                    {"message", j.error.empty() ? "the job was cancelled" : j.error}};
  if (j.state != JobState::kDone) return out;
  ZT_ASSIGN_OR_RETURN(const std::string path, c.context.service.result(j));
  const char* const type = path.ends_with(".png")   ? "image/png"
                           : path.ends_with(".wav") ? "audio/wav"
                                                    : "video/mp4";
  if (dialect == Dialect::kGemini) {
    const std::string scheme = c.request.has_header("X-Forwarded-Proto")
                                   ? c.request.get_header_value("X-Forwarded-Proto")
                                   : "http";
    out["response"] = {{"generateVideoResponse",
                        {{"generatedSamples",
                          {{{"video",
                             {{"uri", str(scheme, "://", c.request.get_header_value("Host"),
                                          "/v1beta/files/", file_of_job(j.id), ":download")},
                              {"encoding", type}}}}}}}}};
    return out;
  }
  ZT_ASSIGN_OR_RETURN(const Permit permit, c.wait());
  ZT_ASSIGN_OR_RETURN(const std::string bytes, read_result(c, j));
  out["response"] = {{"videos", {{{"bytesBase64Encoded", to_base64(bytes)}, {"mimeType", type}}}}};
  return out;
}

Fault answer(Call& c, const JobView& view, Dialect dialect) {
  ZT_ASSIGN_OR_RETURN(const Json json, operation(c, view, dialect));
  reply(c.response, 200, json);
  return {};
}

Fault begin(Call& c, Dialect dialect) {
  ZT_ASSIGN_OR_RETURN(const Body body, read_body(c.request));
  ZT_ASSIGN_OR_RETURN(ClientRequest request, read_request(c, body.json));
  ZT_ASSIGN_OR_RETURN(const Permit permit, c.wait_for_media(request));
  Refusal refusal{};
  const auto view = c.context.service.submit(std::move(request), c.owner, &refusal);
  if (!view.ok()) return refused(c.context, view.status(), refusal);
  return answer(c, *view, dialect);
}

Fault fetch(Call& c) {
  ZT_ASSIGN_OR_RETURN(const Body body, read_body(c.request));
  ZT_RETURN_IF_ERROR(check_keys(body, {"operationName"}));
  ZT_ASSIGN_OR_RETURN(const std::string name, text_of(body, "operationName"));
  const size_t slash = name.rfind('/');
  ZT_ASSIGN_OR_RETURN(
      const JobView view,
      c.context.service.find(slash == std::string::npos ? name : name.substr(slash + 1), c.owner));
  return answer(c, view, Dialect::kVertex);
}

}  // namespace

void add_google_routes(Routes& routes) {
  routes.speak(google_error);
  const std::string gemini = "/v1beta/models/{model}";
  const std::string vertex = "/v1beta1/publishers/google/models/{model}";
  routes.post(gemini + ":predictLongRunning", Counted::kYes,
              [](Call& c) { return begin(c, Dialect::kGemini); });
  routes.get(gemini + "/operations/{id}", [](Call& c) -> Fault {
    ZT_ASSIGN_OR_RETURN(const JobView view, c.job(1));
    return answer(c, view, Dialect::kGemini);
  });
  // The package takes an address that begins with http:// for a file's name.
  for (const char* path : {"/v1beta/files/{id}:download",
                           "/v1beta/files/http://{host}/v1beta/files/{id}:download:download"})
    routes.get(path, [](Call& c) -> Fault {
      const std::string name = c.part(c.request.matches.size() - 2);
      ZT_ASSIGN_OR_RETURN(const JobView view, c.context.service.find(job_of_file(name), c.owner));
      return send_result(c, view);
    });
  routes.post(vertex + ":predictLongRunning", Counted::kYes,
              [](Call& c) { return begin(c, Dialect::kVertex); });
  routes.post(vertex + ":fetchPredictOperation", Counted::kNo, fetch);
}

}  // namespace zoetrope
