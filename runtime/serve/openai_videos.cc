// OpenAI's videos, as its clients speak it, and the list of models.
#include <cmath>
#include <optional>

#include "runtime/engine/find_stage.h"
#include "runtime/serve/http.h"

namespace zoetrope {
namespace {

using Json = nlohmann::json;

// "4", "2.5"
std::string seconds_of(const ServeJob& job) {
  return str(static_cast<double>(job.frames) / static_cast<double>(job.fps));
}

const char* status_of(JobState state) {
  switch (state) {
    case JobState::kQueued: return "queued";
    case JobState::kRunning: return "in_progress";
    case JobState::kDone: return "completed";
    default: return "failed";
  }
}

Json to_json(const JobView& v) {
  const ServeJob& j = v.job;
  double percent = j.state == JobState::kDone ? 100 : 0;
  if (v.progress) percent = std::floor(100 * v.progress->fraction);
  Json out = {{"id", j.id},
              {"object", "video"},
              {"model", j.model},
              {"status", status_of(j.state)},
              {"progress", static_cast<int>(percent)},
              {"created_at", j.created},
              {"completed_at", j.state == JobState::kDone ? Json(j.finished) : Json()},
              {"expires_at", v.expires > 0 ? Json(v.expires) : Json()},
              {"prompt", j.prompt},
              {"seconds", seconds_of(j)},
              {"size", str(j.width, "x", j.height)},
              {"remixed_from_video_id", j.remix_of.empty() ? Json() : Json(j.remix_of)},
              {"error", nullptr}};
  if (j.state == JobState::kFailed) out["error"] = {{"code", j.error_code}, {"message", j.error}};
  if (j.state == JobState::kCancelled)
    out["error"] = {{"code", "cancelled"}, {"message", "the job was cancelled"}};
  return out;
}

// "prompt", "model", "seconds" and "size" of a body that has no other keys than `known`.
Result<ClientRequest> read_common(const Body& body, const std::set<std::string>& known) {
  ZT_RETURN_IF_ERROR(check_keys(body, known));
  ClientRequest request;
  if (!body.json.contains("prompt")) return error(Code::kInvalidArgument, "'prompt' must be given");
  ZT_ASSIGN_OR_RETURN(request.request.prompt, text_of(body, "prompt"));
  ZT_ASSIGN_OR_RETURN(request.model, text_of(body, "model"));
  ZT_ASSIGN_OR_RETURN(const std::string size, text_of(body, "size"));
  if (body.json.contains("size")) ZT_RETURN_IF_ERROR(read_size(size, &request.request.clip));
  ZT_ASSIGN_OR_RETURN(const std::string seconds, text_of(body, "seconds"));
  if (body.json.contains("seconds"))
    ZT_RETURN_IF_ERROR(read_seconds(seconds, &request.request.clip));
  request.request.seed = draw_seed();
  return request;
}

// A file of the form, or {"file_id"}, {"image_url": "data:..."}, {"id"} of a video.
Result<GivenMedia> read_media(Call& c, const Body& body, const std::string& key) {
  ZT_ASSIGN_OR_RETURN(const std::string_view* file, file_of(body, key));
  if (file != nullptr) {
    auto given = add_file(c, *file);
    if (!given.ok()) return given.status().with_context(key);
    return GivenMedia{given->id, "", ""};
  }
  const auto it = body.json.find(key);
  if (it == body.json.end() || it->is_null()) return GivenMedia();
  std::string id, url, video;
  if (it->is_object()) {
    Body given;
    given.json = *it;
    ZT_RETURN_IF_ERROR(check_keys(given, {"file_id", "image_url", "id"}).with_context(key));
    ZT_ASSIGN_OR_RETURN(id, text_of(given, "file_id"));
    ZT_ASSIGN_OR_RETURN(url, text_of(given, "image_url"));
    ZT_ASSIGN_OR_RETURN(video, text_of(given, "id"));
    if (!id.empty() + !url.empty() + !video.empty() > 1)
      return error(Code::kInvalidArgument, "'", key, "' must be one of file_id, image_url and id");
  }
  if (!id.empty()) return GivenMedia{id, "", ""};
  if (!video.empty()) return GivenMedia{"", video, ""};
  if (!url.starts_with("data:"))
    return error(
        Code::kInvalidArgument, "'", key,
        "' must be a file of a form, {\"file_id\"}, {\"id\"} of a video, or {\"image_url\"} "
        "with a data: URL; this service fetches nothing from elsewhere");
  ZT_ASSIGN_OR_RETURN(const std::string bytes, read_base64(url));
  ZT_ASSIGN_OR_RETURN(const GivenFile given, add_file(c, bytes));
  return GivenMedia{given.id, "", ""};
}

Fault submit(Call& c, ClientRequest request, const std::string& remix_of = "") {
  ZT_ASSIGN_OR_RETURN(const Permit permit, c.wait_for_media(request));
  Refusal refusal{};
  const auto view = c.context.service.submit(std::move(request), c.owner, &refusal, remix_of);
  if (!view.ok()) return refused(c.context, view.status(), refusal);
  reply(c.response, 200, to_json(*view));
  return {};
}

GivenMedia& media_of(ClientRequest& request, std::string_view key) {
  return request.media[static_cast<size_t>(std::find(kMediaKeys.begin(), kMediaKeys.end(), key) -
                                           kMediaKeys.begin())];
}

Fault create(Call& c) {
  ZT_ASSIGN_OR_RETURN(const Body body, read_body(c.request));
  ZT_ASSIGN_OR_RETURN(ClientRequest request,
                      read_common(body, {"prompt", "model", "seconds", "size", "input_reference"}));
  ZT_ASSIGN_OR_RETURN(media_of(request, "image"), read_media(c, body, "input_reference"));
  return submit(c, std::move(request));
}

// The same request with another prompt: the same noise, hence much the same scene.
Fault remix(Call& c) {
  ZT_ASSIGN_OR_RETURN(const Body body, read_body(c.request));
  ZT_ASSIGN_OR_RETURN(const ClientRequest asked, read_common(body, {"prompt"}));
  ZT_ASSIGN_OR_RETURN(const JobView view, c.job());
  if (view.job.state != JobState::kDone) return send_result(c, view);
  ZT_ASSIGN_OR_RETURN(ClientRequest request, read_stored_request(view.job.request));
  request.request.prompt = asked.request.prompt;
  return submit(c, std::move(request), view.job.id);
}

// A clip to begin with: to be changed, or to be continued.
Fault from_video(Call& c, const char* key) {
  ZT_ASSIGN_OR_RETURN(const Body body, read_body(c.request));
  const bool extends = std::string_view(key) == "extend";
  std::set<std::string> known = {"prompt", "video", "model"};
  if (extends) known.insert("seconds");
  ZT_ASSIGN_OR_RETURN(ClientRequest request, read_common(body, known));
  ZT_ASSIGN_OR_RETURN(media_of(request, key), read_media(c, body, "video"));
  const GivenMedia& video = media_of(request, key);
  if (!video.given()) return error(Code::kInvalidArgument, "'video' must be given");
  std::optional<JobView> source;
  if (!video.job.empty()) {  // what it was made with
    ZT_ASSIGN_OR_RETURN(source, c.context.service.find(video.job, c.owner));
    if (request.model.empty()) request.model = source->job.model;
  }
  ZT_ASSIGN_OR_RETURN(const auto engine, c.context.service.models().find(request.model));
  // Models that make a clip anew see all of it, and say themselves how large it becomes.
  const bool anew = !extends && find_stage<SourceClip>(engine->model().recipe) != nullptr;
  if (!extends && !anew) request.strength = kEditStrength;
  if (source && !anew) {
    request.request.clip.width = source->job.width;
    request.request.clip.height = source->job.height;
  }
  return submit(c, std::move(request));
}

Fault list(Call& c) {
  const httplib::Request& q = c.request;
  ZT_ASSIGN_OR_RETURN(const int64_t limit, count_of(q, "limit", 20, 100));
  const std::string order = q.has_param("order") ? q.get_param_value("order") : "desc";
  if (order != "asc" && order != "desc")
    return error(Code::kInvalidArgument, "'order' must be asc or desc");
  // One more than asked for tells whether there are more.
  ZT_ASSIGN_OR_RETURN(
      std::vector<JobView> jobs,
      c.context.service.list(c.owner, limit + 1, q.get_param_value("after"), order == "desc"));
  const bool more = static_cast<int64_t>(jobs.size()) > limit;
  if (more) jobs.pop_back();
  Json data = Json::array();
  for (const JobView& view : jobs) data.push_back(to_json(view));
  reply(c.response, 200,
        {{"object", "list"},
         {"data", data},
         {"first_id", jobs.empty() ? Json() : Json(jobs.front().job.id)},
         {"last_id", jobs.empty() ? Json() : Json(jobs.back().job.id)},
         {"has_more", more}});
  return {};
}

Fault content(Call& c) {
  const std::string variant =
      c.request.has_param("variant") ? c.request.get_param_value("variant") : "video";
  ZT_ASSIGN_OR_RETURN(const JobView view, c.job());
  if (variant == "video" || view.job.state != JobState::kDone) return send_result(c, view);
  if (variant != "thumbnail" && variant != "spritesheet")
    return error(Code::kInvalidArgument, "'variant' must be video, thumbnail or spritesheet");
  ZT_ASSIGN_OR_RETURN(const Permit permit, c.wait());
  ZT_ASSIGN_OR_RETURN(const std::string path, variant == "thumbnail"
                                                  ? c.context.service.thumbnail(view.job)
                                                  : c.context.service.spritesheet(view.job));
  return send_file(path, c.response);
}

Json to_json(const Model& model) {
  return {{"id", model.name}, {"object", "model"}, {"created", 0}, {"owned_by", "zoetrope"}};
}

}  // namespace

Json openai_error(const Fault& fault) {
  const char* type = fault.http == 429  ? "rate_limit_error"
                     : fault.http < 500 ? "invalid_request_error"
                                        : "server_error";
  return {{"error",
           {{"message", fault.status.message()},
            {"type", type},
            {"param", nullptr},
            {"code", std::string(code_name(fault.status.code()))}}}};
}

void add_openai_video_routes(Routes& routes) {
  routes.speak(openai_error);
  routes.post("/v1/videos", Counted::kYes, create);
  routes.get("/v1/videos", list);
  routes.post("/v1/videos/edits", Counted::kYes, [](Call& c) { return from_video(c, "video"); });
  routes.post("/v1/videos/extensions", Counted::kYes,
              [](Call& c) { return from_video(c, "extend"); });
  routes.get("/v1/videos/{id}", [](Call& c) -> Fault {
    ZT_ASSIGN_OR_RETURN(const JobView view, c.job());
    reply(c.response, 200, to_json(view));
    return {};
  });
  routes.remove("/v1/videos/{id}", [](Call& c) -> Fault {
    ZT_RETURN_IF_ERROR(c.context.service.remove(c.part(0), c.owner));
    reply(c.response, 200, {{"id", c.part(0)}, {"object", "video.deleted"}, {"deleted", true}});
    return {};
  });
  routes.get("/v1/videos/{id}/content", content);
  routes.post("/v1/videos/{id}/remix", Counted::kYes, remix);
  routes.get("/v1/models", [](Call& c) -> Fault {
    Json data = Json::array();
    for (const auto& engine : c.context.service.models().engines())
      data.push_back(to_json(engine->model()));
    reply(c.response, 200, {{"object", "list"}, {"data", data}});
    return {};
  });
  routes.get("/v1/models/{model}", [](Call& c) -> Fault {
    ZT_ASSIGN_OR_RETURN(const std::shared_ptr<Engine> engine,
                        c.context.service.models().find(c.part(0)));
    reply(c.response, 200, to_json(engine->model()));
    return {};
  });
}

}  // namespace zoetrope
