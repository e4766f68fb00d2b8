// What the routes of all APIs share.
#pragma once

#include <httplib.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <regex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "runtime/random/seed.h"
#include "runtime/serve/permits.h"
#include "runtime/serve/rates.h"
#include "runtime/serve/server.h"

namespace zoetrope {

struct HttpContext {
  HttpContext(Service& service, ServerOptions options)
      : service(service),
        options(std::move(options)),
        rates(this->options.a_minute),
        permits(this->options.waiting, this->options.keys.empty() ? this->options.waiting
                                                                  : this->options.waiting_of_key) {}

  Service& service;
  const ServerOptions options;
  Rates rates;
  Permits permits;
  std::atomic<bool> stopping{false};

  // The owner of the request's key; null: it has none of ours. Without keys everything is one
  // owner's.
  const std::string* owner_of(const httplib::Request& request) const;
};

// Why a request was not answered as it wished, and the status that says so.
struct Fault {
  Fault() = default;
  Fault(Status s);  // by its code; a message for the client
  Fault(int http, Status s) : status(std::move(s)), http(http) {}
  bool ok() const { return status.ok(); }

  Status status;
  int http = 200;
  int retry_after = 0;  // seconds; 0: not said
};
// Of what the service did not take.
Fault refused(HttpContext& context, Status status, Refusal refusal);

// A request of a route: whose it is, and what its path names, in order.
struct Call {
  HttpContext& context;
  const httplib::Request& request;
  httplib::Response& response;
  const std::string& owner;
  int busy = 0;  // why wait() refused: 429 or 503

  // Before anything that takes more than a moment: kUnavailable where too many wait already.
  Result<Permit> wait();
  // The same where planning it decodes what is given; nothing to wait for else.
  Result<Permit> wait_for_media(const ClientRequest& request);
  std::string part(size_t index) const { return request.matches[index + 1]; }
  Result<JobView> job(size_t index = 0) const { return context.service.find(part(index), owner); }
};

using Handler = std::function<Fault(Call&)>;
// How an API says what went wrong.
using FaultWriter = std::function<nlohmann::json(const Fault&)>;

// Whether requests of a route count for --rate: those do that make or plan something.
enum class Counted : uint8_t { kNo, kYes };

// Routes of one server: methods, paths such as "/api/jobs/{id}", and what they do.
class Routes {
 public:
  Routes(httplib::Server& server, HttpContext& context) : server_(server), context_(context) {}
  // For the routes that follow.
  void speak(FaultWriter writer) { writer_ = std::move(writer); }
  void get(const std::string& path, Handler handler) {
    add("GET", path, Counted::kNo, std::move(handler));
  }
  void post(const std::string& path, Counted counted, Handler handler) {
    add("POST", path, counted, std::move(handler));
  }
  void remove(const std::string& path, Handler handler) {
    add("DELETE", path, Counted::kNo, std::move(handler));
  }

  // "GET, POST": of the routes that this path leads to; empty: none.
  std::string methods_of(const std::string& path) const;
  // Whether the description (OpenAPI) has every route, and no other.
  Status check(const nlohmann::json& description) const;

 private:
  void add(const char* method, const std::string& path, Counted counted, Handler handler);

  httplib::Server& server_;
  HttpContext& context_;
  FaultWriter writer_;
  std::map<std::string, std::set<std::string>> methods_;      // by path
  std::vector<std::pair<std::regex, std::string>> patterns_;  // and their paths
};

void reply(httplib::Response& response, int status, const nlohmann::json& body);

// A JSON object, or a form: its fields as texts ("a[b]" within an object "a"), and the files in it.
struct Body {
  nlohmann::json json = nlohmann::json::object();
  std::multimap<std::string, std::string_view> files;
};
Result<Body> read_body(const httplib::Request& request);
// The file of that name, or null; several are an error.
Result<const std::string_view*> file_of(const Body& body, const std::string& name);
// Takes what the client gave.
Result<GivenFile> add_file(Call& call, std::string_view bytes);
// A text of the body; empty where it is not there, kInvalidArgument where it is something else.
Result<std::string> text_of(const Body& body, const char* key);
// Keys of the body and its files that are not among `known` are an error that lists them.
Status check_keys(const Body& body, const std::set<std::string>& known);

// "data:image/png;base64,...", or base64 alone: the bytes.
Result<std::string> read_base64(std::string_view text);
std::string to_base64(std::string_view bytes);

// ?name=N between 1 and `most`, or `otherwise`.
Result<int64_t> count_of(const httplib::Request& request, const char* name, int64_t otherwise,
                         int64_t most);

// Of what OpenAI's words give to be edited, which say no more, is made new.
inline constexpr double kEditStrength = 0.6;

// The bytes of a job's clip or picture, whole.
Result<std::string> read_result(Call& call, const ServeJob& job);
// A file as it lies on the disk, in ranges if asked for.
Status send_file(const std::string& path, httplib::Response& response);
// The job's clip or picture. 409 where it is not done.
Fault send_result(Call& call, const JobView& view);

void add_native_routes(Routes& routes);
// After the native ones: they speak alike.
void add_view_routes(Routes& routes);
// The plan as `zoetrope plan --html` writes it.
Fault show_plan(Call& c, const PlannedJob& planned);
void add_openai_video_routes(Routes& routes);
void add_openai_image_routes(Routes& routes);
void add_google_routes(Routes& routes);
// As OpenAI's APIs say what went wrong.
nlohmann::json openai_error(const Fault& fault);

// The page, and the description of all routes.
void add_page(Routes& routes);
extern const char* const kOpenApi;

}  // namespace zoetrope
