#include "runtime/serve/server.h"

#include <sys/stat.h>

#include <chrono>
#include <fstream>
#include <sstream>

#include "runtime/serve/http.h"

namespace zoetrope {
namespace {

// Takes equally long whatever differs.
bool same_secret(const std::string& a, const std::string& b) {
  unsigned char differs = a.size() == b.size() ? 0 : 1;
  for (size_t i = 0; i < a.size(); ++i)
    differs |= static_cast<unsigned char>(a[i] ^ b[b.empty() ? 0 : i % b.size()]);
  return differs == 0 && !b.empty();
}

std::string host_name(const std::string& host) {
  if (host.starts_with("[")) return host.substr(0, host.find(']') + 1);
  return host.substr(0, host.find(':'));
}

// Pages of other sites can send requests to this machine, by its address or under a name of their
// own that leads here; they cannot choose these headers.
bool is_foreign(const httplib::Request& request, bool loopback) {
  const std::string host = request.get_header_value("Host");
  const std::string origin = request.get_header_value("Origin");
  if (!origin.empty() && origin != "http://" + host && origin != "https://" + host) return true;
  const std::string name = host_name(host);
  return loopback && name != "localhost" && name != "127.0.0.1" && name != "[::1]";
}

// A # in the middle of a key is the key's.
std::string without_comment(const std::string& line) {
  for (size_t i = 0; i < line.size(); ++i)
    if (line[i] == '#' && (i == 0 || line[i - 1] == ' ' || line[i - 1] == '\t'))
      return line.substr(0, i);
  return line;
}

// A body whose length is not said first would be read without a bound.
bool has_unknown_length(const httplib::Request& request) {
  const bool sends = request.method == "POST" || request.method == "PUT" ||
                     request.method == "PATCH" || request.method == "PRI";
  return request.has_header("Transfer-Encoding") ||
         (sends && !request.has_header("Content-Length"));
}

bool is_open_path(const std::string& path) {
  return path == "/" || path == "/page.css" || path == "/page.js" || path == "/healthz" ||
         path == "/readyz";
}

}  // namespace

Result<std::vector<ApiKey>> read_api_keys(const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0)
    return error(Code::kNotFound, path, ": there is no such file of keys");
  if ((info.st_mode & 077) != 0)
    return error(Code::kInvalidArgument, path, ": others may read these keys; chmod 600 it");
  std::ifstream file(path);
  std::vector<ApiKey> keys;
  size_t number = 0;
  for (std::string line; std::getline(file, line);) {
    ++number;
    std::istringstream words(without_comment(line));
    ApiKey key;
    std::string more;
    if (!(words >> key.owner)) continue;
    if (!(words >> key.key) || words >> more || key.key.size() < 16)
      return error(Code::kInvalidArgument, path, ", line ", number,
                   ": expected NAME KEY, and a key of 16 characters or more");
    keys.push_back(std::move(key));
  }
  if (keys.empty()) return error(Code::kInvalidArgument, path, " holds no keys");
  return keys;
}

bool is_loopback(const std::string& host) {
  return host == "localhost" || host == "127.0.0.1" || host == "::1";
}

const std::string* HttpContext::owner_of(const httplib::Request& request) const {
  static const std::string kNobody;
  if (options.keys.empty()) return &kNobody;
  const std::string given = request.get_header_value("Authorization");
  if (!given.starts_with("Bearer ")) return nullptr;
  const std::string* owner = nullptr;
  for (const ApiKey& key : options.keys)
    if (same_secret(given.substr(7), key.key)) owner = &key.owner;
  return owner;
}

void reply(httplib::Response& response, int status, const nlohmann::json& body) {
  response.status = status;
  response.set_content(body.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n",
                       "application/json");
}

int http_status(const Status& status, bool planned) {
  switch (status.code()) {
    case Code::kInvalidArgument: return planned ? 422 : 400;
    case Code::kUnsupported:
    case Code::kResourceExhausted: return planned ? 422 : 507;
    case Code::kNotFound: return 404;
    case Code::kUnavailable: return 503;
    default: return 500;
  }
}

Result<nlohmann::json> read_body(const httplib::Request& request) {
  if (request.is_multipart_form_data()) {
    nlohmann::json form = nlohmann::json::object();
    for (const auto& [name, part] : request.files) {
      if (!part.filename.empty())
        return error(Code::kInvalidArgument, "'", is_printable(name) ? name.substr(0, 64) : "?",
                     "': this service takes no files yet");
      form[name] = part.content;
    }
    return form;
  }
  if (!request.get_header_value("Content-Type").starts_with("application/json"))
    return error(Code::kInvalidArgument, "expected Content-Type: application/json");
  nlohmann::json json = nlohmann::json::parse(request.body, nullptr, false);
  if (!json.is_object()) return error(Code::kInvalidArgument, "expected a JSON object");
  return json;
}

Result<int64_t> count_of(const httplib::Request& request, const char* name, int64_t otherwise,
                         int64_t most) {
  if (!request.has_param(name)) return otherwise;
  const std::string text = request.get_param_value(name);
  char* end = nullptr;
  const int64_t count = std::strtoll(text.c_str(), &end, 10);
  if (text.empty() || *end != '\0' || count < 1 || count > most)
    return error(Code::kInvalidArgument, "'", name, "' must be a number from 1 to ", most);
  return count;
}

Status send_file(const std::string& path, const std::string& type, httplib::Response& response) {
  const auto file = std::make_shared<std::ifstream>(path, std::ios::binary | std::ios::ate);
  if (!*file) return error(Code::kNotFound, "the result is not there any more");
  const auto size = static_cast<size_t>(file->tellg());
  response.set_content_provider(
      size, type, [file](size_t offset, size_t length, httplib::DataSink& sink) {
        char part[64 << 10];
        file->seekg(static_cast<std::streamoff>(offset));
        file->read(part, static_cast<std::streamsize>(std::min(length, sizeof(part))));
        return file->gcount() > 0 && sink.write(part, static_cast<size_t>(file->gcount()));
      });
  return Status();
}

Status send_result(HttpContext& c, const httplib::Request& q, httplib::Response& r, int* code) {
  const auto view = c.service.find(q.matches[1], *c.owner_of(q));
  if (!view.ok()) {
    *code = http_status(view.status(), false);
    return view.status();
  }
  const auto file = c.service.result(view->job);
  if (!file.ok()) {
    *code = view->job.state == JobState::kDone ? 404 : 409;
    return file.status();
  }
  Status sent = send_file(*file, file->ends_with(".png") ? "image/png" : "video/mp4", r);
  *code = http_status(sent, false);
  return sent;
}

struct Server::Http {
  HttpContext context;
  httplib::Server server;
};

Server::Server(Service& service, ServerOptions options)
    : http_(new Http{{service, std::move(options)}, {}}) {
  httplib::Server& server = http_->server;
  HttpContext& c = http_->context;
  const bool guarded = c.options.keys.empty() && is_loopback(c.options.host);
  server.new_task_queue = [threads = c.options.threads] {
    return new httplib::ThreadPool(static_cast<size_t>(threads));
  };
  server.set_payload_max_length(c.options.body_bytes);
  server.set_read_timeout(30);
  server.set_write_timeout(30);
  // One request a connection: a body that is refused unread would be taken for the next request.
  server.set_keep_alive_max_count(1);
  server.set_keep_alive_timeout(2);
  // Without SO_REUSEPORT, the library's default, with which a second server takes half the requests.
  server.set_socket_options([](socket_t socket) {
    const int yes = 1;
    ::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
  });
  server.set_pre_routing_handler([&c, guarded](const httplib::Request& q, httplib::Response& r) {
    using Handled = httplib::Server::HandlerResponse;
    const auto refuse = [&](int status, const char* message, const char* code = "unauthorized") {
      reply(r, status, {{"error", {{"code", code}, {"message", message}}}});
      return Handled::Handled;
    };
    if (is_foreign(q, guarded)) return refuse(403, "this request comes from another site's page");
    if (!is_open_path(q.path) && c.owner_of(q) == nullptr)
      return refuse(401, "Authorization: Bearer KEY is missing or not known");
    if (has_unknown_length(q))
      return refuse(411, "a body must say its Content-Length", "invalid argument");
    return Handled::Unhandled;
  });
  server.set_post_routing_handler([](const httplib::Request&, httplib::Response& r) {
    r.set_header("X-Content-Type-Options", "nosniff");
    r.set_header("Cache-Control", "no-store");
    r.set_header("Content-Security-Policy",
                 "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
                 "media-src blob:; img-src blob:; base-uri 'none'; form-action 'none'; "
                 "frame-ancestors 'none'");
  });
  server.set_error_handler([](const httplib::Request&, httplib::Response& r) {
    if (!r.body.empty()) return;
    const char* text = r.status == 413   ? "the request is too large"
                       : r.status == 404 ? "there is nothing here"
                                         : "the request failed";
    reply(r, r.status, {{"error", {{"code", std::to_string(r.status)}, {"message", text}}}});
  });
  server.set_exception_handler(
      [](const httplib::Request&, httplib::Response& r, const std::exception_ptr&) {
        reply(r, 500, {{"error", {{"code", "internal error"}, {"message", "internal error"}}}});
      });
  server.set_logger([&c](const httplib::Request& q, const httplib::Response& r) {
    if (q.path == "/healthz" || q.path == "/readyz" || q.path == "/metrics") return;
    const std::string* owner = c.owner_of(q);
    c.service.log({{"event", "request"},
                   {"method", q.method},
                   {"path", q.path.substr(0, 200)},
                   {"status", r.status},
                   {"owner", owner != nullptr ? *owner : ""}});
  });
  add_native_routes(server, c);
  add_openai_routes(server, c);
  add_page(server);
}

Server::~Server() = default;

Status Server::bind() {
  const ServerOptions& o = http_->context.options;
  port_ = o.port;
  if (o.port == 0)
    port_ = http_->server.bind_to_any_port(o.host.c_str());
  else if (!http_->server.bind_to_port(o.host.c_str(), o.port))
    port_ = -1;
  if (port_ > 0) return Status();
  return error(Code::kUnavailable, "cannot listen on ", o.host, ":", o.port,
               "; is something else there? --port takes another");
}

Status Server::run() {
  if (http_->server.listen_after_bind()) return Status();
  return error(Code::kUnavailable, "listening on ", http_->context.options.host, ":", port_,
               " ended: the system accepts no more connections");
}

void Server::stop() {
  http_->context.stopping = true;
  http_->server.stop();
}

}  // namespace zoetrope
