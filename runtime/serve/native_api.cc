// The service's own API, with everything that it can.
#include "runtime/cli/receipt_flags.h"
#include "runtime/engine/check.h"
#include "runtime/media/png.h"
#include "runtime/serve/http.h"
#include "runtime/verify/receipt.h"

namespace zoetrope {
namespace {

using Json = nlohmann::json;

constexpr int kStreamMilliseconds = 500;

Json time_or_null(int64_t seconds) { return seconds > 0 ? Json(seconds) : Json(); }
Json seconds_or_null(double seconds) { return seconds > 0 ? Json(seconds) : Json(); }

Json to_json(const JobProgress& p, const std::string& id) {
  Json out = {{"task", p.task},
              {"done", p.done},
              {"total", p.total},
              {"fraction", p.fraction},
              {"seconds_left", p.seconds_left >= 0 ? Json(p.seconds_left) : Json()},
              {"preview", nullptr}};
  if (p.preview)
    out["preview"] = {{"step", p.preview_step},
                      {"frames", p.preview->count},
                      {"url", str("/api/jobs/", id, "/preview?step=", p.preview_step)}};
  return out;
}

Json to_json(const JobView& v) {
  const ServeJob& j = v.job;
  Json out = {
      {"id", j.id},
      {"state", job_state_name(j.state)},
      {"model", j.model},
      {"prompt", j.prompt},
      {"seed", j.seed},
      {"created", j.created},
      {"started", time_or_null(j.started)},
      {"finished", time_or_null(j.finished)},
      {"expires", time_or_null(v.expires)},
      {"width", j.width},
      {"height", j.height},
      {"frames", j.frames},
      {"fps", j.fps},
      {"estimated_seconds", seconds_or_null(j.estimated_seconds)},
      {"request", Json::parse(j.request, nullptr, false)},
      {"notices", v.progress ? Json(v.progress->notices) : Json::parse(j.notices, nullptr, false)}};
  if (!j.remix_of.empty()) out["remix_of"] = j.remix_of;
  if (j.state == JobState::kQueued)
    out["ahead"] = {{"jobs", v.ahead.jobs}, {"seconds", seconds_or_null(v.ahead.seconds)}};
  if (v.progress) out["progress"] = to_json(*v.progress, j.id);
  if (j.state == JobState::kFailed) out["error"] = {{"code", j.error_code}, {"message", j.error}};
  if (j.state == JobState::kDone)
    out["result"] = {{"url", "/api/jobs/" + j.id + "/result"},
                     {"thumbnail", "/api/jobs/" + j.id + "/thumbnail"},
                     {"name", j.output},
                     {"bytes", j.bytes}};
  return out;
}

Json to_json(const PlannedJob& p) {
  const RequestPlan& plan = p.plan;
  return {{"model", p.engine->model().name},
          {"width", p.clip.width},
          {"height", p.clip.height},
          {"frames", p.clip.frames},
          {"samples", p.clip.samples},
          {"fps", plan.clip.fps},
          {"steps", plan.denoise.steps},
          {"guidance", plan.denoise.guidance},
          {"estimated_seconds", seconds_or_null(plan.estimated_seconds())},
          {"calibrated", plan.calibrated()},
          {"peak_bytes", plan.peak_bytes()},
          {"device", plan.largest().device->info().name},
          {"notices", p.notices}};
}

Json to_json(const GivenFile& file) {
  Json out = Json::parse(file.facts, nullptr, false);
  out["id"] = file.id;
  out["bytes"] = file.bytes;
  out["created"] = file.created;
  return out;
}

Json to_json(const Model& model, const std::vector<ModelPool::Adapter>& offered) {
  Json stages = Json::array(), tasks = Json::array();
  for (const Stage& stage : model.recipe.stages) stages.push_back(stage_kind(stage));
  for (const GivenTask& task : given_tasks(model.recipe)) tasks.push_back(task.name);
  Json adapters = Json::array();
  for (const ModelPool::Adapter& adapter : offered) {
    Json components = Json::array();  // empty: of all that its keys name
    for (const AdapterRecord& file : adapter.files)
      if (!file.component.empty()) components.push_back(file.component);
    adapters.push_back({{"name", adapter.name}, {"components", components}});
  }
  return {{"name", model.name},
          {"family", model.family},
          {"adapters", adapters},
          {"reads_text", model.recipe.reads_text()},
          {"clip", Json::parse(recipe_to_json(model.recipe))["clip"]},
          {"stages", stages},
          {"tasks", tasks},
          {"vocabulary", model.vocabulary}};
}

Json error_json(const Fault& fault) {
  return {{"error",
           {{"code", std::string(code_name(fault.status.code()))},
            {"message", fault.status.message()}}}};
}

// The body's request, its files taken in: JSON, or a form of "request" and files by kMediaKeys and,
// as many as there are, "references".
Result<ClientRequest> read_request(Call& c) {
  ZT_ASSIGN_OR_RETURN(const Body body, read_body(c.request));
  Json json = body.json;
  if (c.request.is_multipart_form_data()) {
    std::set<std::string> known(kMediaKeys.begin(), kMediaKeys.end());
    known.insert({"request", "references"});
    ZT_RETURN_IF_ERROR(check_keys(body, known));
    ZT_ASSIGN_OR_RETURN(const std::string text, text_of(body, "request"));
    json = parse_json(text);
    if (!json.is_object())
      return error(Code::kInvalidArgument, "expected a JSON object in the form's 'request'");
  }
  ZT_ASSIGN_OR_RETURN(ClientRequest request,
                      read_client_request(json, c.context.service.options().limits));
  for (size_t i = 0; i < kMediaKeys.size(); ++i) {
    ZT_ASSIGN_OR_RETURN(const std::string_view* file, file_of(body, kMediaKeys[i]));
    if (file == nullptr) continue;
    auto given = add_file(c, *file);
    if (!given.ok()) return given.status().with_context(kMediaKeys[i]);
    request.media[i] = {given->id, "", ""};
  }
  const auto [begin, end] = body.files.equal_range("references");
  if (request.references.size() + static_cast<size_t>(std::distance(begin, end)) > kMaxReferences)
    return error(Code::kInvalidArgument, "'references': at most ", kMaxReferences, " pictures");
  for (auto it = begin; it != end; ++it) {
    auto given = add_file(c, it->second);
    if (!given.ok()) return given.status().with_context("references");
    request.references.push_back({given->id, "", ""});
  }
  return request;
}

Fault plan(Call& c, bool page) {
  ZT_ASSIGN_OR_RETURN(const ClientRequest request, read_request(c));
  ZT_ASSIGN_OR_RETURN(const Permit permit, c.wait_for_media(request));
  Refusal refusal{};
  const auto planned = c.context.service.plan(request, c.owner, &refusal);
  if (!planned.ok()) return refused(c.context, planned.status(), refusal);
  if (page) return show_plan(c, *planned);
  reply(c.response, 200, to_json(*planned));
  return {};
}

Fault submit(Call& c) {
  ZT_ASSIGN_OR_RETURN(ClientRequest request, read_request(c));
  ZT_ASSIGN_OR_RETURN(const Permit permit, c.wait_for_media(request));
  Refusal refusal{};
  const auto view = c.context.service.submit(std::move(request), c.owner, &refusal);
  if (!view.ok()) return refused(c.context, view.status(), refusal);
  c.response.set_header("Location", "/api/jobs/" + view->job.id);
  reply(c.response, 201, to_json(*view));
  return {};
}

Fault list(Call& c) {
  ZT_ASSIGN_OR_RETURN(const int64_t limit, count_of(c.request, "limit", 20, 100));
  ZT_ASSIGN_OR_RETURN(
      const std::vector<JobView> jobs,
      c.context.service.list(c.owner, limit, c.request.get_param_value("after"), true));
  Json list = Json::array();
  for (const JobView& view : jobs) list.push_back(to_json(view));
  reply(c.response, 200, {{"jobs", list}});
  return {};
}

Fault show(Call& c) {
  ZT_ASSIGN_OR_RETURN(const JobView view, c.job());
  reply(c.response, 200, to_json(view));
  return {};
}

Fault cancel(Call& c) {
  ZT_RETURN_IF_ERROR(c.context.service.cancel(c.part(0), c.owner));
  ZT_ASSIGN_OR_RETURN(const JobView view, c.job());
  reply(c.response, 202, to_json(view));
  return {};
}

Fault remove(Call& c) {
  ZT_RETURN_IF_ERROR(c.context.service.remove(c.part(0), c.owner));
  c.response.status = 204;
  return {};
}

// The job's state whenever it changes, until it has ended. One call writes one event.
Fault stream(Call& call) {
  struct State {
    Permit permit;
    std::string last;
    uint64_t version = 0;
    bool ended = false;
  };
  HttpContext& c = call.context;
  ZT_ASSIGN_OR_RETURN(const JobView view, call.job());
  const auto state = std::make_shared<State>();
  ZT_ASSIGN_OR_RETURN(state->permit, call.wait());
  call.response.set_chunked_content_provider(
      "text/event-stream",
      [&c, id = view.job.id, owner = call.owner, state](size_t, httplib::DataSink& sink) {
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
      });
  return {};
}

// Frames beside each other, one pixel a latent.
Fault preview(Call& c) {
  ZT_ASSIGN_OR_RETURN(const JobView view, c.job());
  if (!view.progress || !view.progress->preview)
    return Fault(409, error(Code::kNotFound, "the job is ", job_state_name(view.job.state),
                            "; there is no preview", view.job.finished > 0 ? "" : " yet"));
  const PreviewFrames& p = *view.progress->preview;
  const int64_t row = p.width * 3;
  std::vector<uint8_t> sheet(p.pixels.size());
  for (int64_t k = 0; k < p.count; ++k)
    for (int64_t y = 0; y < p.height; ++y)
      std::copy_n(p.pixels.data() + (k * p.height + y) * row, row,
                  sheet.data() + (y * p.count + k) * row);
  const std::vector<uint8_t> png = encode_png(sheet.data(), p.count * p.width, p.height);
  c.response.set_content(reinterpret_cast<const char*>(png.data()), png.size(), "image/png");
  return {};
}

Fault picture(Call& c, Result<std::string> (Service::*make)(const ServeJob&) const) {
  ZT_ASSIGN_OR_RETURN(const JobView view, c.job());
  if (view.job.state != JobState::kDone) return send_result(c, view);
  ZT_ASSIGN_OR_RETURN(const Permit permit, c.wait());
  ZT_ASSIGN_OR_RETURN(const std::string path, (c.context.service.*make)(view.job));
  return send_file(path, c.response);
}

// What made every bit of the clip, as it stands in the file.
Fault receipt(Call& c) {
  ZT_ASSIGN_OR_RETURN(const JobView view, c.job());
  if (view.job.state != JobState::kDone) return send_result(c, view);
  ZT_ASSIGN_OR_RETURN(const std::string path, c.context.service.result(view.job));
  ZT_ASSIGN_OR_RETURN(const Permit permit, c.wait());
  ZT_ASSIGN_OR_RETURN(const Receipt receipt, read_receipt(path));
  reply(c.response, 200, Json::parse(receipt_to_json(receipt)));
  return {};
}

Fault upload(Call& c) {
  ZT_ASSIGN_OR_RETURN(const Body body, read_body(c.request));
  ZT_RETURN_IF_ERROR(check_keys(body, {"file"}));
  ZT_ASSIGN_OR_RETURN(const std::string_view* bytes, file_of(body, "file"));
  if (bytes == nullptr)
    return error(Code::kInvalidArgument, "expected a form (multipart/form-data) with a 'file'");
  ZT_ASSIGN_OR_RETURN(const GivenFile file, add_file(c, *bytes));
  reply(c.response, 201, to_json(file));
  return {};
}

Fault models(Call& c) {
  Json list = Json::array();
  for (const auto& engine : c.context.service.models().engines())
    list.push_back(
        to_json(engine->model(), c.context.service.models().adapters_of(engine->model().name)));
  const ServiceOptions& o = c.context.service.options();
  reply(c.response, 200,
        {{"models", list},
         {"limits",
          {{"prompt_bytes", o.limits.prompt_bytes},
           {"file_bytes", o.uploads.bytes},
           {"file_seconds", o.uploads.seconds}}}});
  return {};
}

}  // namespace

void add_native_routes(Routes& routes) {
  routes.speak(error_json);
  routes.get("/healthz", [](Call& c) -> Fault {
    reply(c.response, 200, {{"status", "ok"}});
    return {};
  });
  routes.get("/readyz", [](Call& c) -> Fault {
    const std::string status =
        c.context.service.stopping() ? "ending" : c.context.service.trouble();
    reply(c.response, status.empty() ? 200 : 503, {{"status", status.empty() ? "ready" : status}});
    return {};
  });
  routes.get("/metrics", [](Call& c) -> Fault {
    ZT_ASSIGN_OR_RETURN(const std::string text, c.context.service.metrics());
    c.response.set_content(text, "text/plain; version=0.0.4");
    return {};
  });
  routes.get("/api/models", models);
  routes.post("/api/plan", Counted::kYes, [](Call& c) { return plan(c, /*page=*/false); });
  routes.post("/api/plan/page", Counted::kYes, [](Call& c) { return plan(c, /*page=*/true); });
  routes.post("/api/files", Counted::kYes, upload);
  routes.get("/api/files/{id}", [](Call& c) -> Fault {
    ZT_ASSIGN_OR_RETURN(const GivenFile file, c.context.service.uploads().find(c.part(0), c.owner));
    reply(c.response, 200, to_json(file));
    return {};
  });
  routes.remove("/api/files/{id}", [](Call& c) -> Fault {
    ZT_ASSIGN_OR_RETURN(const GivenFile file, c.context.service.uploads().find(c.part(0), c.owner));
    ZT_RETURN_IF_ERROR(c.context.service.uploads().remove(file));
    c.response.status = 204;
    return {};
  });
  routes.post("/api/jobs", Counted::kYes, submit);
  routes.get("/api/jobs", list);
  routes.get("/api/jobs/{id}", show);
  routes.remove("/api/jobs/{id}", remove);
  routes.post("/api/jobs/{id}/cancel", Counted::kNo, cancel);
  routes.get("/api/jobs/{id}/events", stream);
  routes.get("/api/jobs/{id}/preview", preview);
  routes.get("/api/jobs/{id}/result", [](Call& c) -> Fault {
    ZT_ASSIGN_OR_RETURN(const JobView view, c.job());
    return send_result(c, view);
  });
  routes.get("/api/jobs/{id}/receipt", receipt);
  routes.get("/api/jobs/{id}/thumbnail", [](Call& c) { return picture(c, &Service::thumbnail); });
  routes.get("/api/jobs/{id}/spritesheet",
             [](Call& c) { return picture(c, &Service::spritesheet); });
}

}  // namespace zoetrope
