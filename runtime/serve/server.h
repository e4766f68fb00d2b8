// The service over HTTP: who may ask, in which words, and what is answered. One thread of a pool a
// request; TLS is a proxy's.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "runtime/serve/keys.h"
#include "runtime/serve/service.h"

namespace zoetrope {

struct ServerOptions {
  std::string host = "127.0.0.1";
  int port = 8080;            // 0: one that is free
  std::vector<ApiKey> keys;   // empty: whoever can connect may ask
  double a_minute = 0;        // requests that make or plan something, a key or address; 0: no limit
  int picture_seconds = 600;  // that a request waits for pictures
  int threads = 16;           // of requests
  std::string bench_page;     // HTML of a report of `zoetrope bench`; empty: none is shown
  // Of them, that wait: for pictures, for a file to be tried, for a job to change.
  int waiting = 12, waiting_of_key = 8;
};

// Whether only this machine can connect to it.
bool is_loopback(const std::string& host);

class Server {
 public:
  Server(Service& service, ServerOptions options);
  ~Server();

  Status bind();
  int port() const { return port_; }
  // Until stop(), from another thread, before or after it begins; an error where the system ends
  // it.
  Status run();
  void stop();

 private:
  struct Http;
  std::unique_ptr<Http> http_;
  int port_ = 0;
  std::atomic<bool> begun_{false}, ended_{false};  // run()
};

}  // namespace zoetrope
