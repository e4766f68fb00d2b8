#include "runtime/serve/server.h"

#include <sys/stat.h>

#include <chrono>
#include <fstream>
#include <sstream>
#include <thread>

#include "runtime/serve/http.h"

namespace zoetrope {
namespace {

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

// Files come as they are or in base64, and a byte of a prompt in up to 6 of JSON.
size_t largest_body(const ServiceOptions& o) {
  constexpr size_t kRest = 64 << 10;
  return static_cast<size_t>(o.uploads.bytes) / 3 * 4 + 12 * o.limits.prompt_bytes + kRest;
}

// A body whose length is not said first would be read without a bound.
bool has_unknown_length(const httplib::Request& request) {
  const bool sends = request.method == "POST" || request.method == "PUT" ||
                     request.method == "PATCH" || request.method == "PRI";
  return request.has_header("Transfer-Encoding") ||
         (sends && !request.has_header("Content-Length"));
}

bool is_open_path(const std::string& path) {
  return path == "/" || path == "/page.css" || path == "/page.js" || path == "/report.css" ||
         path == "/openapi.json" || path == "/healthz" || path == "/readyz";
}

}  // namespace

bool is_loopback(const std::string& host) {
  return host == "localhost" || host == "127.0.0.1" || host == "::1";
}

struct Server::Http {
  Http(Service& service, ServerOptions options)
      : context(service, std::move(options)), routes(server, context) {}
  HttpContext context;
  httplib::Server server;
  Routes routes;
};

Server::Server(Service& service, ServerOptions options)
    : http_(new Http(service, std::move(options))) {
  httplib::Server& server = http_->server;
  HttpContext& c = http_->context;
  const bool guarded = c.options.keys.empty() && is_loopback(c.options.host);
  server.new_task_queue = [threads = c.options.threads] {
    return new httplib::ThreadPool(static_cast<size_t>(threads));
  };
  server.set_payload_max_length(largest_body(service.options()));
  server.set_read_timeout(10);
  server.set_write_timeout(30);
  // One request a connection: a body that is refused unread would be taken for the next request.
  server.set_keep_alive_max_count(1);
  server.set_keep_alive_timeout(2);
  // Without SO_REUSEPORT, the library's default, with which a second server takes half the
  // requests.
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
      return refuse(401, "a key (Authorization: Bearer KEY) is missing or not known");
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
  server.set_error_handler([this](const httplib::Request& q, httplib::Response& r) {
    if (!r.body.empty()) return;
    if (const std::string methods = http_->routes.methods_of(q.path);
        r.status == 404 && !methods.empty()) {
      r.status = 405;
      r.set_header("Allow", methods);
    }
    const char* text = r.status == 413   ? "the request is too large"
                       : r.status == 404 ? "there is nothing here"
                       : r.status == 405 ? "this path takes other methods"
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
  Routes& routes = http_->routes;
  add_native_routes(routes);
  add_view_routes(routes);
  add_page(routes);
  add_openai_video_routes(routes);
  add_openai_image_routes(routes);
  add_google_routes(routes);
}

Server::~Server() = default;

Status Server::bind() {
  ZT_RETURN_IF_ERROR(http_->routes.check(nlohmann::json::parse(kOpenApi)));
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
  begun_ = true;
  const bool listened = http_->context.stopping || http_->server.listen_after_bind();
  ended_ = true;
  if (listened) return Status();
  return error(Code::kUnavailable, "listening on ", http_->context.options.host, ":", port_,
               " ended: the system accepts no more connections");
}

void Server::stop() {
  http_->context.stopping = true;
  // The library's stop() does nothing before it listens.
  while (begun_ && !ended_ && !http_->server.is_running())
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  http_->server.stop();
}

}  // namespace zoetrope
