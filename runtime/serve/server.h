// The service over HTTP: who may ask, in which words, and what is answered. One thread of a pool a
// request; TLS is a proxy's.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "runtime/serve/service.h"

namespace zoetrope {

struct ApiKey {
  std::string owner, key;
};

// "NAME KEY" a line; a word that begins with # begins a comment. A file that others may read is refused.
Result<std::vector<ApiKey>> read_api_keys(const std::string& path);

struct ServerOptions {
  std::string host = "127.0.0.1";
  int port = 8080;           // 0: one that is free
  std::vector<ApiKey> keys;  // empty: whoever can connect may ask
  size_t body_bytes = 1 << 20;
  int threads = 16, streams = 8;  // of requests; of them, that watch a job
};

// Whether only this machine can connect to it.
bool is_loopback(const std::string& host);

class Server {
 public:
  Server(Service& service, ServerOptions options);
  ~Server();

  Status bind();
  int port() const { return port_; }
  // Until stop(), from another thread; an error where the system ends it.
  Status run();
  void stop();

 private:
  struct Http;
  std::unique_ptr<Http> http_;
  int port_ = 0;
};

}  // namespace zoetrope
