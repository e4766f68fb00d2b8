// OpenAI's videos, as its clients speak it: POST, GET and DELETE /v1/videos, and /content.
#include <cmath>

#include "runtime/serve/http.h"

namespace zoetrope {
namespace {

using Json = nlohmann::json;
using Request_ = httplib::Request;
using Response = httplib::Response;

void fail(Response& response, int status, const Status& problem) {
  const char* type = status == 429  ? "rate_limit_error"
                     : status < 500 ? "invalid_request_error"
                                    : "server_error";
  reply(response, status,
        {{"error",
          {{"message", problem.message()},
           {"type", type},
           {"param", nullptr},
           {"code", std::string(code_name(problem.code()))}}}});
}

// "4", "2.5"
std::string seconds_of(const ServeJob& job) {
  return str(static_cast<double>(job.frames) / static_cast<double>(job.fps));
}

Json to_json(const JobView& v, const std::string& model) {
  const ServeJob& j = v.job;
  const bool failed = j.state == JobState::kFailed || j.state == JobState::kCancelled;
  double percent = j.state == JobState::kDone ? 100 : 0;
  if (v.progress) percent = std::floor(100 * v.progress->fraction);
  Json out = {{"id", j.id},
              {"object", "video"},
              {"model", model},
              {"status", j.state == JobState::kQueued    ? "queued"
                         : j.state == JobState::kRunning ? "in_progress"
                         : failed                        ? "failed"
                                                         : "completed"},
              {"progress", static_cast<int>(percent)},
              {"created_at", j.created},
              {"completed_at", j.state == JobState::kDone ? Json(j.finished) : Json()},
              {"expires_at", nullptr},
              {"prompt", j.prompt},
              {"seconds", seconds_of(j)},
              {"size", str(j.width, "x", j.height)},
              {"remixed_from_video_id", nullptr},
              {"error", nullptr}};
  if (j.state == JobState::kFailed) out["error"] = {{"code", j.error_code}, {"message", j.error}};
  if (j.state == JobState::kCancelled)
    out["error"] = {{"code", "cancelled"}, {"message", "the job was cancelled"}};
  return out;
}

void create(HttpContext& c, const Request_& q, Response& r) {
  const RequestLimits& limits = c.service.options().limits;
  const auto body = read_body(q);
  if (!body.ok()) return fail(r, 400, body.status());
  const auto request = read_openai_request(*body, c.service.model(), limits);
  if (!request.ok()) return fail(r, http_status(request.status(), false), request.status());
  bool full = false;
  const auto job = c.service.submit(*request, *c.owner_of(q), &full);
  if (full) r.set_header("Retry-After", std::to_string(c.service.retry_after_seconds()));
  if (!job.ok()) return fail(r, full ? 429 : http_status(job.status(), true), job.status());
  reply(r, 200, to_json({*job, std::nullopt, {}}, c.service.model().name));
}

void list(HttpContext& c, const Request_& q, Response& r) {
  const auto limit = count_of(q, "limit", 20, 100);
  if (!limit.ok()) return fail(r, 400, limit.status());
  const std::string order = q.has_param("order") ? q.get_param_value("order") : "desc";
  if (order != "asc" && order != "desc")
    return fail(r, 400, error(Code::kInvalidArgument, "'order' must be asc or desc"));
  // One more than asked for tells whether there are more.
  auto jobs =
      c.service.list(*c.owner_of(q), *limit + 1, q.get_param_value("after"), order == "desc");
  if (!jobs.ok()) return fail(r, http_status(jobs.status(), false), jobs.status());
  const bool more = static_cast<int64_t>(jobs->size()) > *limit;
  if (more) jobs->pop_back();
  Json data = Json::array();
  for (const JobView& view : *jobs) data.push_back(to_json(view, c.service.model().name));
  reply(r, 200,
        {{"object", "list"},
         {"data", data},
         {"first_id", jobs->empty() ? Json() : Json(jobs->front().job.id)},
         {"last_id", jobs->empty() ? Json() : Json(jobs->back().job.id)},
         {"has_more", more}});
}

void content(HttpContext& c, const Request_& q, Response& r) {
  if (q.has_param("variant") && q.get_param_value("variant") != "video")
    return fail(r, 400, error(Code::kUnsupported, "'variant': this service has video alone"));
  int code = 0;
  if (Status sent = send_result(c, q, r, &code); !sent.ok()) fail(r, code, sent);
}

}  // namespace

void add_openai_routes(httplib::Server& server, HttpContext& c) {
  const auto path = [](const char* tail) { return str("/v1/videos/", kJobId, tail); };
  server.Post("/v1/videos", [&c](const Request_& q, Response& r) { create(c, q, r); });
  server.Get("/v1/videos", [&c](const Request_& q, Response& r) { list(c, q, r); });
  server.Get(path(""), [&c](const Request_& q, Response& r) {
    const auto view = c.service.find(q.matches[1], *c.owner_of(q));
    if (!view.ok()) return fail(r, http_status(view.status(), false), view.status());
    reply(r, 200, to_json(*view, c.service.model().name));
  });
  server.Delete(path(""), [&c](const Request_& q, Response& r) {
    const Status done = c.service.remove(q.matches[1], *c.owner_of(q));
    if (!done.ok()) return fail(r, http_status(done, false), done);
    reply(r, 200,
          {{"id", std::string(q.matches[1])}, {"object", "video.deleted"}, {"deleted", true}});
  });
  server.Get(path("/content"), [&c](const Request_& q, Response& r) { content(c, q, r); });
}

}  // namespace zoetrope
