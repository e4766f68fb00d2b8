// What the routes of all APIs share.
#pragma once

#include <httplib.h>

#include <atomic>
#include <nlohmann/json.hpp>
#include <string>

#include "runtime/serve/server.h"

namespace zoetrope {

struct HttpContext {
  Service& service;
  const ServerOptions options;
  std::atomic<int> streams{0};
  std::atomic<bool> stopping{false};

  // The owner of the request's key; null: it has none of ours. Without keys everything is one
  // owner's.
  const std::string* owner_of(const httplib::Request& request) const;
};

inline constexpr char kJobId[] = "([A-Za-z0-9_]{1,64})";

void reply(httplib::Response& response, int status, const nlohmann::json& body);

// 400 for what is not understood, 404, 503, 500; `planned`: 422 for what the model refuses.
int http_status(const Status& status, bool planned);

// A JSON object, or for a form its fields as texts.
Result<nlohmann::json> read_body(const httplib::Request& request);

// ?name=N between 1 and `most`, or `otherwise`.
Result<int64_t> count_of(const httplib::Request& request, const char* name, int64_t otherwise,
                         int64_t most);

// A file as it lies on the disk, in ranges if asked for.
Status send_file(const std::string& path, const std::string& type, httplib::Response& response);

// The clip of the job that the path names; where there is none, why, and the answer's status in
// `code`.
Status send_result(HttpContext& context, const httplib::Request& request,
                   httplib::Response& response, int* code);

void add_native_routes(httplib::Server& server, HttpContext& context);
void add_openai_routes(httplib::Server& server, HttpContext& context);
void add_page(httplib::Server& server);

}  // namespace zoetrope
