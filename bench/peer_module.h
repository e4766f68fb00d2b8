// A library that is timed beside ours in the same process and the same minutes: a shared object
// that exports zoetrope_bench_peer(), found beside the backends where it was built.
#pragma once

#include <memory>
#include <string>

#include "bench/op_case.h"
#include "graph/status.h"

namespace zoetrope::bench {

// One prepared case. No exception leaves it.
class PeerCall {
 public:
  virtual ~PeerCall() = default;
  virtual Status run() = 0;
};

inline constexpr uint32_t kPeerAbi = 1;

struct PeerModule {
  uint32_t abi = kPeerAbi;
  const char* name = "";
  std::string (*version)() = nullptr;
  // kUnsupported: not one of its ops, which is no error. Weights lie as the library likes them.
  Result<std::unique_ptr<PeerCall>> (*prepare)(const OpCase& c, int threads) = nullptr;
};

// kUnavailable where it was not built.
Result<const PeerModule*> find_peer(const std::string& name);

}  // namespace zoetrope::bench

#define ZT_EXPORT_BENCH_PEER(module)                                                     \
  extern "C" __attribute__((visibility("default"))) const ::zoetrope::bench::PeerModule* \
  zoetrope_bench_peer() {                                                                \
    return &(module);                                                                    \
  }
