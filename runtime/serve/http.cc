#include "runtime/serve/http.h"

#include <openssl/evp.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <sstream>

#include "graph/text.h"

namespace zoetrope {
namespace {

constexpr int64_t kMostInline = int64_t{256} << 20;  // of a result within an answer's JSON
constexpr int kBusySeconds = 5;                      // until a permit may be free
constexpr char kPart[] = "([A-Za-z0-9_.-]{1,128})";
constexpr char kHostPart[] = "([A-Za-z0-9_.:\\[\\]-]{1,128})";

int http_status(const Status& status) {
  switch (status.code()) {
    case Code::kOk: return 200;
    case Code::kInvalidArgument: return 400;
    case Code::kUnsupported: return 422;
    case Code::kNotFound: return 404;
    case Code::kResourceExhausted: return 507;
    case Code::kUnavailable: return 503;
    default: return 500;
  }
}

// "/api/jobs/{id}" as a regular expression.
std::string pattern_of(const std::string& path) {
  std::string pattern;
  for (size_t i = 0; i < path.size(); ++i) {
    if (path[i] == '{') {
      const size_t end = path.find('}', i);
      pattern += path.substr(i, end - i) == "{host" ? kHostPart : kPart;
      i = end;
    } else {
      if (path[i] == '.') pattern += '\\';
      pattern += path[i];
    }
  }
  return pattern;
}

std::string shown(const std::string& key) { return is_printable(key) ? key.substr(0, 64) : "?"; }

Status wrong(const auto&... what) { return error(Code::kInvalidArgument, what...); }

}  // namespace

Fault::Fault(Status s) : status(std::move(s)), http(http_status(status)) {}

Fault refused(HttpContext& context, Status status, Refusal refusal) {
  Fault fault(std::move(status));
  const Code code = fault.status.code();
  if (refusal == Refusal::kPlan && code != Code::kUnavailable && code != Code::kInternal)
    fault.http = 422;
  if (refusal == Refusal::kBusy && code == Code::kResourceExhausted) {
    fault.http = 429;
    fault.retry_after = context.service.retry_after_seconds();
  }
  return fault;
}

const std::string* HttpContext::owner_of(const httplib::Request& request) const {
  static const std::string kNobody;
  if (options.keys.empty()) return &kNobody;
  std::string given = request.get_header_value("x-goog-api-key");
  const std::string bearer = request.get_header_value("Authorization");
  if (bearer.starts_with("Bearer ")) given = bearer.substr(7);
  if (given.empty()) return nullptr;
  const std::string digest = digest_of_key(given);  // comparing digests tells nothing of keys
  for (const ApiKey& key : options.keys)
    if (digest == key.digest) return &key.owner;
  return nullptr;
}

Result<Permit> Call::wait() {
  bool own = false;
  Permit permit = context.permits.take(owner, &own);
  if (permit) return permit;
  busy = own && !context.options.keys.empty() ? 429 : 503;
  return error(Code::kUnavailable, "too many requests", busy == 429 ? " of yours" : "",
               " wait already, for pictures, events or files; ask again soon");
}

Result<Permit> Call::wait_for_media(const ClientRequest& r) {
  return given_in(r).empty() ? Permit() : wait();
}

void Routes::add(const char* method, const std::string& path, Counted counted, Handler handler) {
  const std::string pattern = pattern_of(path);
  if (methods_[path].empty()) patterns_.emplace_back(std::regex(pattern), path);
  methods_[path].insert(method);
  HttpContext& c = context_;
  const bool posts = std::string_view(method) == "POST";
  auto answer = [&c, counted, handler = std::move(handler), writer = writer_](
                    const httplib::Request& q, httplib::Response& r) {
    static const std::string kNobody;
    const std::string* owner = c.owner_of(q);
    Call call{c, q, r, owner != nullptr ? *owner : kNobody};
    Fault fault;
    const int wait = counted == Counted::kYes
                         ? c.rates.wait(c.options.keys.empty() ? q.remote_addr : call.owner)
                         : 0;
    if (wait > 0) {
      fault = Fault(429, error(Code::kResourceExhausted, "that were more than ", c.options.a_minute,
                               " requests a minute"));
      fault.retry_after = wait;
    } else {
      fault = handler(call);
    }
    if (fault.ok()) return;
    fault.status =
        Status(fault.status.code(), c.service.models().without_folders(without_paths(
                                        fault.status.message(), c.service.options().folder)));
    if (call.busy != 0) {
      fault.http = call.busy;
      fault.retry_after = kBusySeconds;
    }
    if (fault.retry_after > 0) r.set_header("Retry-After", std::to_string(fault.retry_after));
    reply(r, fault.http, writer(fault));
  };
  if (posts)
    server_.Post(pattern, std::move(answer));
  else if (std::string_view(method) == "GET")
    server_.Get(pattern, std::move(answer));
  else
    server_.Delete(pattern, std::move(answer));
}

std::string Routes::methods_of(const std::string& path) const {
  std::string all;
  for (const auto& [pattern, route] : patterns_)
    if (std::regex_match(path, pattern))
      for (const std::string& method : methods_.at(route))
        all += (all.empty() ? "" : ", ") + method;
  return all;
}

Status Routes::check(const nlohmann::json& description) const {
  std::map<std::string, std::set<std::string>> described;
  for (const auto& [path, operations] : description.at("paths").items())
    for (const auto& [method, operation] : operations.items()) {
      if (method == "parameters") continue;
      std::string upper = method;
      for (char& c : upper) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
      described[path].insert(upper);
    }
  for (const auto& [path, methods] : methods_)
    if (described[path] != methods)
      return error(Code::kInternal, "openapi.json does not have the methods of ", path);
  for (const auto& [path, methods] : described)
    if (!methods_.contains(path))
      return error(Code::kInternal, "openapi.json has ", path, ", which is no route");
  return Status();
}

void reply(httplib::Response& response, int status, const nlohmann::json& body) {
  response.status = status;
  response.set_content(body.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n",
                       "application/json");
}

Result<Body> read_body(const httplib::Request& request) {
  Body body;
  if (request.is_multipart_form_data()) {
    for (const auto& [name, part] : request.files) {
      if (!part.filename.empty()) {
        body.files.emplace(name, part.content);
        continue;
      }
      const size_t open = name.find('[');
      const bool nested = open != std::string::npos && name.back() == ']' && open > 0;
      nlohmann::json& outer = body.json[nested ? name.substr(0, open) : name];
      if (nested && !outer.is_null() && !outer.is_object())
        return wrong("'", shown(name.substr(0, open)), "' is text and an object");
      nlohmann::json& place = nested ? outer[name.substr(open + 1, name.size() - open - 2)] : outer;
      if (!place.is_null()) return wrong("'", shown(name), "' is given twice");
      place = part.content;
    }
    return body;
  }
  if (!request.get_header_value("Content-Type").starts_with("application/json"))
    return wrong("expected Content-Type: application/json or multipart/form-data");
  body.json = parse_json(request.body);
  if (!body.json.is_object()) return wrong("expected a JSON object, nested in reason");
  return body;
}

Result<const std::string_view*> file_of(const Body& body, const std::string& name) {
  const auto [begin, end] = body.files.equal_range(name);
  if (begin == end) return static_cast<const std::string_view*>(nullptr);
  if (std::next(begin) != end) return wrong("'", name, "': one file is taken");
  return &begin->second;
}

Result<GivenFile> add_file(Call& call, std::string_view bytes) {
  ZT_ASSIGN_OR_RETURN(const Permit permit, call.wait());
  return call.context.service.uploads().add(call.owner, bytes);
}

Result<std::string> text_of(const Body& body, const char* key) {
  const auto it = body.json.find(key);
  if (it == body.json.end() || it->is_null()) return std::string();
  if (!it->is_string()) return wrong("'", key, "' must be text");
  return it->get<std::string>();
}

Status check_keys(const Body& body, const std::set<std::string>& known) {
  std::string all;
  for (const std::string& key : known) all += (all.empty() ? "" : ", ") + key;
  const auto check = [&](const std::string& key) {
    return known.contains(key) ? Status()
                               : wrong("'", shown(key), "' is not known here; known: ", all);
  };
  for (const auto& [key, value] : body.json.items()) ZT_RETURN_IF_ERROR(check(key));
  for (const auto& [key, file] : body.files) ZT_RETURN_IF_ERROR(check(key));
  return Status();
}

Result<std::string> read_base64(std::string_view text) {
  if (text.starts_with("data:")) {
    const size_t comma = text.find(";base64,");
    if (comma == std::string_view::npos) return wrong("expected a data: URL with base64 in it");
    text.remove_prefix(comma + 8);
  }
  if (text.empty() || text.size() % 4 != 0) return wrong("expected base64");
  std::string bytes(text.size() / 4 * 3, '\0');
  const int size = EVP_DecodeBlock(reinterpret_cast<unsigned char*>(bytes.data()),
                                   reinterpret_cast<const unsigned char*>(text.data()),
                                   static_cast<int>(text.size()));
  if (size < 0) return wrong("expected base64");
  const size_t padding = text.ends_with("==") ? 2 : text.ends_with("=") ? 1 : 0;
  bytes.resize(static_cast<size_t>(size) - padding);
  return bytes;
}

std::string to_base64(std::string_view bytes) {
  std::string text((bytes.size() + 2) / 3 * 4 + 1, '\0');
  text.resize(static_cast<size_t>(EVP_EncodeBlock(
      reinterpret_cast<unsigned char*>(text.data()),
      reinterpret_cast<const unsigned char*>(bytes.data()), static_cast<int>(bytes.size()))));
  return text;
}

Result<int64_t> count_of(const httplib::Request& request, const char* name, int64_t otherwise,
                         int64_t most) {
  if (!request.has_param(name)) return otherwise;
  const std::string text = request.get_param_value(name);
  int64_t count = 0;
  const auto [last, bad] = std::from_chars(text.data(), text.data() + text.size(), count);
  if (bad != std::errc() || last != text.data() + text.size() || count < 1 || count > most)
    return wrong("'", name, "' must be a number from 1 to ", most);
  return count;
}

Result<std::string> read_result(Call& call, const ServeJob& job) {
  ZT_ASSIGN_OR_RETURN(const std::string path, call.context.service.result(job));
  if (job.bytes > kMostInline)
    return error(Code::kUnsupported, "the clip has ", job.bytes,
                 " bytes, more than goes into an answer; GET /api/jobs/", job.id, "/result has it");
  std::ifstream file(path, std::ios::binary);
  std::stringstream bytes;
  bytes << file.rdbuf();
  if (!file) return error(Code::kNotFound, "the result is not there any more");
  return std::move(bytes).str();
}

Status send_file(const std::string& path, httplib::Response& response) {
  const auto file = std::make_shared<std::ifstream>(path, std::ios::binary | std::ios::ate);
  if (!*file) return error(Code::kNotFound, "the result is not there any more");
  const auto size = static_cast<size_t>(file->tellg());
  response.set_content_provider(
      size,
      path.ends_with(".png")   ? "image/png"
      : path.ends_with(".wav") ? "audio/wav"
                               : "video/mp4",
      [file](size_t offset, size_t length, httplib::DataSink& sink) {
        char part[64 << 10];
        file->seekg(static_cast<std::streamoff>(offset));
        file->read(part, static_cast<std::streamsize>(std::min(length, sizeof(part))));
        return file->gcount() > 0 && sink.write(part, static_cast<size_t>(file->gcount()));
      });
  return Status();
}

Fault send_result(Call& call, const JobView& view) {
  const auto file = call.context.service.result(view.job);
  if (!file.ok()) return Fault(view.job.state == JobState::kDone ? 404 : 409, file.status());
  return send_file(*file, call.response);
}

}  // namespace zoetrope
