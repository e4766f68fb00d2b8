#include "backends/cuda/capabilities.h"

#include <algorithm>
#include <charconv>

#include "backends/cuda/cublaslt.h"
#include "graph/text.h"

namespace zoetrope::cuda {
namespace {

struct Word {
  std::string_view name;
  bool Switches::*flag;
};
constexpr Word kWords[] = {
    {"no-wgmma", &Switches::no_wgmma},       {"no-mma", &Switches::no_mma},
    {"no-cublaslt", &Switches::no_cublaslt}, {"no-measure", &Switches::no_measure},
    {"no-graph", &Switches::no_graph},       {"any-size", &Switches::any_size},
};

// Dense multiply-adds a multiprocessor does in a clock with bf16 matrices (NVIDIA's architecture
// papers).
double matrix_rate(int architecture) {
  if (architecture >= 100 && architecture < 120) return 4096;
  if (architecture == 90) return 2048;
  if (architecture == 80) return 1024;
  return 512;
}

}  // namespace

Result<Switches> parse_switches(std::string_view words) {
  Switches switches;
  while (!words.empty()) {
    const size_t comma = words.find(',');
    const std::string_view word = words.substr(0, comma);
    words = comma == std::string_view::npos ? "" : words.substr(comma + 1);
    bool known = false;
    std::string all;
    for (const Word& w : kWords) {
      if (w.name == word) switches.*w.flag = known = true;
      all += str(all.empty() ? "" : ", ", w.name);
    }
    if (!known)
      return error(Code::kInvalidArgument, "the cuda backend has no target word '", word,
                   "'; known: ", all);
  }
  return switches;
}

bool has_kernels(std::string_view architectures, int device) {
  while (!architectures.empty()) {
    const std::string_view one = architectures.substr(0, architectures.find(','));
    architectures.remove_prefix(std::min(one.size() + 1, architectures.size()));
    int built = 0;
    const auto [end, ec] = std::from_chars(one.data(), one.data() + one.size(), built);
    const std::string_view kind = one.substr(static_cast<size_t>(end - one.data()));
    if (ec != std::errc()) continue;
    const bool exact = kind.starts_with('a');
    if (exact ? built == device
              : built <= device && (built / 10 == device / 10 || !kind.ends_with("-real")))
      return true;
  }
  return false;
}

Result<int> count_devices() {
  int count = 0;
  const cudaError_t result = cudaGetDeviceCount(&count);
  if (result == cudaErrorInsufficientDriver || result == cudaErrorStubLibrary) {
    (void)cudaGetLastError();
    int driver = 0;
    (void)cudaDriverGetVersion(&driver);
    if (driver == 0)
      return error(Code::kUnavailable, "no NVIDIA driver is installed (libcuda.so.1 not found)");
    return error(Code::kUnavailable, "the NVIDIA driver is for CUDA ", driver / 1000, ".",
                 driver % 1000 / 10, "; this program needs CUDA ", CUDART_VERSION / 1000,
                 ".0 or later: update the driver");
  }
  if (result == cudaErrorNoDevice || (result == cudaSuccess && count == 0)) {
    (void)cudaGetLastError();
    return error(Code::kUnavailable, "an NVIDIA driver is installed, but it shows no device");
  }
  ZT_RETURN_IF_ERROR(check(result, "asking for CUDA devices"));
  return count;
}

Result<Capabilities> read_capabilities(int index, const Switches& switches) {
  cudaDeviceProp properties;
  ZT_RETURN_IF_ERROR(check(cudaGetDeviceProperties(&properties, index), "reading properties"));
  Capabilities caps;
  caps.index = index;
  caps.switches = switches;
  caps.name = properties.name;
  caps.uuid = to_hex({properties.uuid.bytes, sizeof(properties.uuid.bytes)});
  caps.architecture = properties.major * 10 + properties.minor;
  ZT_RETURN_IF_ERROR(check(cudaDriverGetVersion(&caps.driver_version), "reading the driver"));
  caps.multiprocessors = properties.multiProcessorCount;
  caps.memory_bytes = static_cast<int64_t>(properties.totalGlobalMem);
  caps.shared_bytes = static_cast<int64_t>(properties.sharedMemPerBlockOptin);
  caps.l2_bytes = properties.l2CacheSize;
  int clock_khz = 0, memory_khz = 0;
  ZT_RETURN_IF_ERROR(
      check(cudaDeviceGetAttribute(&clock_khz, cudaDevAttrClockRate, index), "reading the clock"));
  ZT_RETURN_IF_ERROR(check(cudaDeviceGetAttribute(&memory_khz, cudaDevAttrMemoryClockRate, index),
                           "reading the memory's clock"));
  caps.clock_hz = 1e3 * clock_khz;
  caps.bytes_per_second = 2e3 * memory_khz * properties.memoryBusWidth / 8;
  if (!switches.no_cublaslt && LtApi::get().ok()) caps.cublaslt = LtApi::get()->version();
  if (caps.architecture < 80)
    return error(Code::kUnsupported, caps.name, " has compute capability ", properties.major, ".",
                 properties.minor, "; the cuda backend needs 8.0 or later");
  if (!has_kernels(ZOETROPE_CUDA_ARCHITECTURES, caps.architecture))
    return error(Code::kUnsupported, caps.name, " has compute capability ", properties.major, ".",
                 properties.minor, "; this library was built for ", ZOETROPE_CUDA_ARCHITECTURES,
                 " alone: build it with -DZOETROPE_CUDA_ARCHITECTURES=ALL");
  return caps;
}

std::vector<std::string> Capabilities::features() const {
  std::vector<std::string> list{str("sm_", architecture)};
  if (mma()) list.push_back("mma");
  if (wgmma()) list.insert(list.end(), {"wgmma", "tma"});
  if (cublaslt > 0) list.push_back(str("cublaslt ", cublaslt / 10000, ".", cublaslt % 10000 / 100));
  return list;
}

DeviceInfo Capabilities::info() const {
  DeviceInfo info;
  info.backend = "cuda";
  info.name = str(name, ", CUDA ", driver_version / 1000, ".", driver_version % 1000 / 10);
  info.memory_bytes = memory_bytes;
  info.uuid = uuid;
  info.features = features();
  info.side_by_side = !switches.no_graph;
  // Rates that large kernels reach: 0.7 of what the clock allows.
  const double cycles = 0.7 * 2 * clock_hz * multiprocessors;
  info.flops_f32 = cycles * 128;
  info.flops_bf16 = mma() ? cycles * matrix_rate(architecture) : info.flops_f32;
  info.bytes_per_second = 0.9 * bytes_per_second;
  info.upload_bytes_per_second = architecture >= 90 ? 50e9 : 25e9;  // 16 lanes of PCIe 5, or 4
  return info;
}

}  // namespace zoetrope::cuda
