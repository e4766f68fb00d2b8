#include "bench/peer_module.h"

#include <dlfcn.h>

#include <filesystem>

#include "runtime/library.h"

namespace zoetrope::bench {

Result<const PeerModule*> find_peer(const std::string& name) {
  // Beside the core library, where backends lie too.
  Dl_info info;
  std::error_code ec;
  std::filesystem::path folder;
  if (dladdr(reinterpret_cast<const void*>(&open_library), &info) != 0 && info.dli_fname != nullptr)
    folder = std::filesystem::canonical(info.dli_fname, ec).parent_path();
  const auto path = folder / ("libzoetrope_bench_" + name + ".so");
  if (name.find('/') != std::string::npos || !std::filesystem::exists(path, ec))
    return error(Code::kUnavailable, "peer '", name, "' is not part of this installation (no ",
                 path.filename().string(), ")");
  ZT_ASSIGN_OR_RETURN(void* handle, open_library(path, "peer '" + name + "'"));
  using Entry = const PeerModule* (*)();
  const auto entry = reinterpret_cast<Entry>(dlsym(handle, "zoetrope_bench_peer"));
  if (entry == nullptr || entry()->abi != kPeerAbi)
    return error(Code::kUnavailable, path.string(), " is not of this build");
  return entry();
}

}  // namespace zoetrope::bench
