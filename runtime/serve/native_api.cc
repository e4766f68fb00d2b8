// The service's own API, with everything that it can.
#include <chrono>

#include "runtime/engine/request_record.h"
#include "runtime/serve/http.h"

namespace zoetrope {
namespace {

using Json = nlohmann::json;
using Request_ = httplib::Request;
using Response = httplib::Response;

constexpr int kStreamMilliseconds = 500;

Json time_or_null(int64_t seconds) { return seconds > 0 ? Json(seconds) : Json(); }
Json seconds_or_null(double seconds) { return seconds > 0 ? Json(seconds) : Json(); }

Json to_json(const JobView& v) {
  const ServeJob& j = v.job;
  Json out = {{"id", j.id},
              {"state", job_state_name(j.state)},
              {"prompt", j.prompt},
              {"seed", j.seed},
              {"created", j.created},
              {"started", time_or_null(j.started)},
              {"finished", time_or_null(j.finished)},
              {"width", j.width},
              {"height", j.height},
              {"frames", j.frames},
              {"fps", j.fps},
              {"estimated_seconds", seconds_or_null(j.estimated_seconds)},
              {"request", Json::parse(j.request, nullptr, false)}};
  if (j.state == JobState::kQueued)
    out["ahead"] = {{"jobs", v.ahead.jobs}, {"seconds", seconds_or_null(v.ahead.seconds)}};
  if (v.progress)
    out["progress"] = {
        {"task", v.progress->task},
        {"done", v.progress->done},
        {"total", v.progress->total},
        {"fraction", v.progress->fraction},
        {"seconds_left", v.progress->seconds_left >= 0 ? Json(v.progress->seconds_left) : Json()}};
  if (j.state == JobState::kFailed) out["error"] = {{"code", j.error_code}, {"message", j.error}};
  if (j.state == JobState::kDone)
    out["result"] = {{"url", "/api/jobs/" + j.id + "/result"}, {"name", j.output}};
  return out;
}

Json to_json(const RequestPlan& plan) {
  return {{"width", plan.shape.width},
          {"height", plan.shape.height},
          {"frames", plan.shape.frames},
          {"samples", plan.shape.samples},
          {"fps", plan.clip.fps},
          {"steps", plan.denoise.steps},
          {"guidance", plan.denoise.guidance},
          {"estimated_seconds", seconds_or_null(plan.estimated_seconds())},
          {"calibrated", plan.calibrated()},
          {"peak_bytes", plan.peak_bytes()},
          {"device", plan.largest().device->info().name}};
}

void fail(Response& response, int status, const Status& problem) {
  reply(response, status,
        {{"error",
          {{"code", std::string(code_name(problem.code()))}, {"message", problem.message()}}}});
}

// The job's state whenever it changes, until it has ended. One call writes one event.
void stream(HttpContext& c, const std::string& id, const std::string& owner, Response& response) {
  struct State {
    std::string last;
    uint64_t version = 0;
    bool ended = false;
  };
  if (++c.streams > c.options.streams) {
    --c.streams;
    response.set_header("Retry-After", "5");
    return fail(response, 503,
                error(Code::kUnavailable,
                      "too many clients watch jobs; ask for the "
                      "job's state instead"));
  }
  const auto state = std::make_shared<State>();
  response.set_chunked_content_provider(
      "text/event-stream",
      [&c, id, owner, state](size_t, httplib::DataSink& sink) {
        if (state->ended || c.stopping) {
          sink.done();
          return true;
        }
        if (!state->last.empty())
          state->version = c.service.wait_for_change(state->version, kStreamMilliseconds);
        const auto found = c.service.find(id, owner);
        std::string data =
            found.ok() ? to_json(*found).dump(-1, ' ', false, Json::error_handler_t::replace)
                       : std::string("{\"state\":\"removed\"}");
        state->ended = !found.ok() || (found->job.state != JobState::kQueued &&
                                       found->job.state != JobState::kRunning);
        // A comment finds out whether somebody still listens.
        const std::string text = data == state->last ? ":\n\n" : "data: " + data + "\n\n";
        state->last = std::move(data);
        return sink.write(text.data(), text.size());
      },
      [&c](bool) { --c.streams; });
}

}  // namespace

void add_native_routes(httplib::Server& server, HttpContext& c) {
  const auto path = [](const char* tail) { return str("/api/jobs/", kJobId, tail); };

  server.Get("/healthz", [](const Request_&, Response& r) { reply(r, 200, {{"status", "ok"}}); });
  server.Get("/readyz", [&c](const Request_&, Response& r) {
    const bool ready = !c.service.stopping();
    reply(r, ready ? 200 : 503, {{"status", ready ? "ready" : "ending"}});
  });
  server.Get("/metrics", [&c](const Request_&, Response& r) {
    const auto text = c.service.metrics();
    if (!text.ok()) return fail(r, 500, text.status());
    r.set_content(*text, "text/plain; version=0.0.4");
  });
  server.Get("/api/model", [&c](const Request_&, Response& r) {
    const Model& model = c.service.model();
    reply(r, 200,
          {{"name", model.name},
           {"family", model.family},
           {"reads_text", model.recipe.reads_text()},
           {"clip", Json::parse(recipe_to_json(model.recipe))["clip"]},
           {"vocabulary", model.vocabulary},
           {"limits", {{"prompt_bytes", c.service.options().limits.prompt_bytes}}}});
  });
  server.Post("/api/plan", [&c](const Request_& q, Response& r) {
    const auto body = read_body(q);
    if (!body.ok()) return fail(r, 400, body.status());
    const auto request = read_client_request(*body, c.service.options().limits);
    if (!request.ok()) return fail(r, http_status(request.status(), false), request.status());
    const auto plan = c.service.plan(*request);
    if (!plan.ok()) return fail(r, http_status(plan.status(), true), plan.status());
    reply(r, 200, to_json(*plan));
  });
  server.Post("/api/jobs", [&c](const Request_& q, Response& r) {
    const auto body = read_body(q);
    if (!body.ok()) return fail(r, 400, body.status());
    const auto request = read_client_request(*body, c.service.options().limits);
    if (!request.ok()) return fail(r, http_status(request.status(), false), request.status());
    bool full = false;
    const auto job = c.service.submit(*request, *c.owner_of(q), &full);
    if (full) r.set_header("Retry-After", std::to_string(c.service.retry_after_seconds()));
    if (!job.ok()) return fail(r, full ? 429 : http_status(job.status(), true), job.status());
    r.set_header("Location", "/api/jobs/" + job->id);
    const auto view = c.service.find(job->id, job->owner);
    if (!view.ok()) return fail(r, http_status(view.status(), false), view.status());
    reply(r, 201, to_json(*view));
  });
  server.Get("/api/jobs", [&c](const Request_& q, Response& r) {
    const auto limit = count_of(q, "limit", 20, 100);
    if (!limit.ok()) return fail(r, 400, limit.status());
    const auto jobs = c.service.list(*c.owner_of(q), *limit, q.get_param_value("after"), true);
    if (!jobs.ok()) return fail(r, http_status(jobs.status(), false), jobs.status());
    Json list = Json::array();
    for (const JobView& view : *jobs) list.push_back(to_json(view));
    reply(r, 200, {{"jobs", list}});
  });
  server.Get(path(""), [&c](const Request_& q, Response& r) {
    const auto view = c.service.find(q.matches[1], *c.owner_of(q));
    if (!view.ok()) return fail(r, http_status(view.status(), false), view.status());
    reply(r, 200, to_json(*view));
  });
  server.Get(path("/events"), [&c](const Request_& q, Response& r) {
    const std::string& owner = *c.owner_of(q);
    const auto view = c.service.find(q.matches[1], owner);
    if (!view.ok()) return fail(r, http_status(view.status(), false), view.status());
    stream(c, view->job.id, owner, r);
  });
  server.Post(path("/cancel"), [&c](const Request_& q, Response& r) {
    const Status done = c.service.cancel(q.matches[1], *c.owner_of(q));
    if (!done.ok()) return fail(r, http_status(done, false), done);
    const auto view = c.service.find(q.matches[1], *c.owner_of(q));
    if (!view.ok()) return fail(r, http_status(view.status(), false), view.status());
    reply(r, 202, to_json(*view));
  });
  server.Delete(path(""), [&c](const Request_& q, Response& r) {
    const Status done = c.service.remove(q.matches[1], *c.owner_of(q));
    if (!done.ok()) return fail(r, http_status(done, false), done);
    r.status = 204;
  });
  server.Get(path("/result"), [&c](const Request_& q, Response& r) {
    int code = 0;
    if (Status sent = send_result(c, q, r, &code); !sent.ok()) fail(r, code, sent);
  });
}

}  // namespace zoetrope
