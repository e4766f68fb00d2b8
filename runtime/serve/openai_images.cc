// OpenAI's images: asked for and waited for in one request. A picture is a job like any other.
#include "runtime/serve/http.h"

namespace zoetrope {
namespace {

using Json = nlohmann::json;

constexpr int kWaitMilliseconds = 200;

// Waits for its end; one whose client is gone or that takes too long is cancelled. The answer's
// connection is not seen from here, so that only time ends it.
Result<JobView> wait_for(Call& c, const std::string& id,
                         std::chrono::steady_clock::time_point until) {
  uint64_t version = 0;
  while (true) {
    ZT_ASSIGN_OR_RETURN(JobView view, c.context.service.find(id, c.owner));
    if (view.job.finished > 0) return view;
    if (c.context.stopping || std::chrono::steady_clock::now() > until) {
      ZT_RETURN_IF_ERROR(c.context.service.cancel(id, c.owner));
      return error(Code::kUnavailable,
                   "the picture was not done in time; POST /api/jobs makes it without waiting");
    }
    version = c.context.service.wait_for_change(version, kWaitMilliseconds);
  }
}

// A text, number or truth value as text; empty for what is none.
std::string word_of(const Json& json) {
  return json.is_string() ? json.get<std::string>() : json.is_primitive() ? json.dump() : "";
}

// "auto", or "auto or opaque".
std::string all_of(const std::set<std::string>& values) {
  std::string all;
  for (const std::string& value : values) all += (all.empty() ? "" : " or ") + value;
  return all;
}

Result<int64_t> read_count(const Body& body) {
  const auto it = body.json.find("n");
  if (it == body.json.end() || it->is_null()) return int64_t{1};
  const std::string text = word_of(*it);
  if (text.size() != 1 || text < "1" || text > "9")
    return error(Code::kInvalidArgument, "'n' must be a number from 1 to 9");
  return int64_t{text[0] - '0'};
}

// What a service of pictures would heed and this one cannot is refused, but for the value that
// leaves it as it is.
Status check_options(const Body& body) {
  const std::pair<const char*, std::set<std::string>> kTaken[] = {
      {"output_format", {"png"}},
      {"response_format", {"b64_json"}},
      {"quality", {"auto", "standard"}},
      {"background", {"auto", "opaque"}},
      {"moderation", {"auto", "low"}},
      {"stream", {"false"}},
      {"style", {"natural"}}};
  for (const auto& [key, values] : kTaken) {
    const auto it = body.json.find(key);
    if (it == body.json.end() || it->is_null()) continue;
    const std::string text = word_of(*it);
    if (!values.contains(text))
      return error(Code::kInvalidArgument, "'", key, "': this service takes ", all_of(values));
  }
  return Status();
}

Fault make(Call& c, bool edits) {
  ZT_ASSIGN_OR_RETURN(const Body body, read_body(c.request));
  std::set<std::string> known = {
      "prompt", "model",  "n",          "size",       "quality",       "style",
      "user",   "stream", "moderation", "background", "output_format", "response_format"};
  if (edits) known.insert({"image", "image[]"});
  ZT_RETURN_IF_ERROR(check_keys(body, known));
  ZT_RETURN_IF_ERROR(check_options(body));
  ZT_ASSIGN_OR_RETURN(const int64_t count, read_count(body));
  ClientRequest request;
  if (!body.json.contains("prompt")) return error(Code::kInvalidArgument, "'prompt' must be given");
  ZT_ASSIGN_OR_RETURN(request.request.prompt, text_of(body, "prompt"));
  ZT_ASSIGN_OR_RETURN(request.model, text_of(body, "model"));
  ZT_ASSIGN_OR_RETURN(const std::string size, text_of(body, "size"));
  if (!size.empty() && size != "auto") ZT_RETURN_IF_ERROR(read_size(size, &request.request.clip));
  request.request.clip.frames = 1;
  if (edits) {
    ZT_ASSIGN_OR_RETURN(const std::string_view* file, file_of(body, "image"));
    ZT_ASSIGN_OR_RETURN(const std::string_view* listed, file_of(body, "image[]"));
    if (file != nullptr && listed != nullptr)
      return error(Code::kInvalidArgument, "'image' and 'image[]': one file is taken");
    if (file == nullptr) file = listed;
    if (file == nullptr) return error(Code::kInvalidArgument, "'image' must be a file of the form");
    ZT_ASSIGN_OR_RETURN(const GivenFile given, add_file(c, *file));
    request.media[0] = {given.id, "", ""};
    request.strength = kEditStrength;
  }
  ZT_ASSIGN_OR_RETURN(const Permit permit, c.wait());
  const auto until =
      std::chrono::steady_clock::now() + std::chrono::seconds(c.context.options.picture_seconds);
  std::vector<std::string> ids;
  Fault fault;
  for (int64_t i = 0; i < count && fault.ok(); ++i) {
    request.request.seed = draw_seed();
    Refusal refusal{};
    const auto view = c.context.service.submit(request, c.owner, &refusal);
    if (view.ok())
      ids.push_back(view->job.id);
    else
      fault = refused(c.context, view.status(), refusal);
  }
  Json data = Json::array();
  int64_t created = 0;
  for (const std::string& id : ids) {
    if (!fault.ok()) {  // all or nothing
      (void)c.context.service.cancel(id, c.owner);
      continue;
    }
    const auto view = wait_for(c, id, until);
    if (!view.ok()) {
      fault = view.status();
      continue;
    }
    const auto bytes = read_result(c, view->job);
    if (!bytes.ok()) {
      fault = Fault(view->job.state == JobState::kFailed ? 500 : 409,
                    error(Code::kInternal,
                          view->job.error.empty() ? bytes.status().message() : view->job.error));
      continue;
    }
    created = view->job.created;
    data.push_back({{"b64_json", to_base64(*bytes)}});
  }
  if (!fault.ok()) return fault;
  reply(c.response, 200, {{"created", created}, {"output_format", "png"}, {"data", data}});
  return {};
}

}  // namespace

void add_openai_image_routes(Routes& routes) {
  routes.speak(openai_error);
  routes.post("/v1/images/generations", Counted::kYes,
              [](Call& c) { return make(c, /*edits=*/false); });
  routes.post("/v1/images/edits", Counted::kYes, [](Call& c) { return make(c, /*edits=*/true); });
}

}  // namespace zoetrope
