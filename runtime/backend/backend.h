// The contract between the runtime and a backend: twelve virtual functions on a device, one on
// a kernel. A backend is a shared library that exports zoetrope_backend() and knows nothing else of
// the runtime. backends/reference is the smallest one: copy it to begin a new backend.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "graph/graph.h"
#include "graph/status.h"

namespace zoetrope {

struct DeviceInfo {
  std::string backend;                // "cpu"
  std::string name;                   // "AMD EPYC, 2 threads"
  std::string unusable;               // why it cannot be opened; empty: it can
  int64_t memory_bytes = 0;           // what plans may use in all
  std::vector<std::string> features;  // "avx512_bf16", "amx_bf16", "cooperative_matrix", ...
  bool software = false;              // emulated on the host's processor: only taken when named
  bool side_by_side = false;          // calls that share no memory may run at one time
  double flops_f32 = 0;               // rough peak rates for time estimates; 0 when unknown
  double flops_bf16 = 0;
  double bytes_per_second = 0;
};

// Device memory. Owned by whoever asked for it; must not outlive its device.
class Buffer {
 public:
  virtual ~Buffer() = default;
  virtual int64_t bytes() const = 0;
  // The address where the host can read and write it directly, else null.
  virtual void* host_data() = 0;
};

// A range of a buffer. Does not own.
struct BufferView {
  Buffer* buffer = nullptr;
  int64_t offset = 0;
  int64_t bytes = 0;
};

// A constant tensor in host memory (usually the mapped model file). Valid only during the call that
// receives it: a kernel copies (packs) what it needs.
struct HostTensor {
  TensorType type;
  const void* data = nullptr;
};

// What the planner asks: can you run this node on these types? No data yet, so that a 60 GB model
// is planned without reading it.
struct KernelRequest {
  const Node* node = nullptr;
  std::vector<const TensorType*> inputs;  // null: absent optional input
  std::vector<const TensorType*> outputs;
  std::vector<bool> is_weight;  // input i is a weight of the model file, its data known at load
};

struct KernelInfo {
  std::string name;             // "matmul_f32_onednn_brgemm": shown in plans and profiles
  int64_t workspace_bytes = 0;  // scratch during the call, in the arena
  int64_t packed_bytes = 0;     // what create_kernel allocates for itself (packed weights)
  uint32_t raw_inputs = 0;      // bit i: weight input i is read as a plain buffer at run time (else
                                // the kernel packed what it needs and the view is empty)
};

struct KernelArgs {
  std::span<const BufferView> inputs;  // an absent or packed input has a null buffer
  std::span<const BufferView> outputs;
  BufferView workspace;
};

// One prepared operation. Immutable after creation.
class Kernel {
 public:
  virtual ~Kernel() = default;
  // Bytes it holds (packed weights); equals KernelInfo::packed_bytes.
  virtual int64_t resident_bytes() const = 0;
};

struct KernelCall {
  const Kernel* kernel = nullptr;
  KernelArgs args;
  const char* label = "";     // names the node and its shapes in errors
  double* seconds = nullptr;  // where to add the time taken; null: not profiled
};

// Calls made ready to be submitted many times: a command buffer, a captured graph, or just the
// list.
class Sequence {
 public:
  virtual ~Sequence() = default;
};

// For devices that prepare nothing: the calls as they came.
class CallList : public Sequence {
 public:
  explicit CallList(std::span<const KernelCall> calls) : calls(calls.begin(), calls.end()) {}
  const std::vector<KernelCall> calls;
};

// Not thread safe: one thread drives a device.
class Device {
 public:
  virtual ~Device() = default;
  virtual const DeviceInfo& info() const = 0;

  // Alignment of every allocation and arena offset.
  virtual int64_t alignment() const = 0;
  virtual Result<std::unique_ptr<Buffer>> allocate(int64_t bytes) = 0;
  // A buffer over host memory that outlives it, without a copy; kUnsupported where the device
  // cannot.
  virtual Result<std::unique_ptr<Buffer>> wrap_host(const void* data, int64_t bytes) = 0;
  virtual Status upload(BufferView dst, const void* src) = 0;
  virtual Status download(void* dst, BufferView src) = 0;
  virtual Status copy(BufferView dst, BufferView src) = 0;

  // kUnsupported: no kernel for it (the planner then decomposes a fused op, or reports the node).
  virtual Result<KernelInfo> query_kernel(const KernelRequest& request) = 0;
  // `weights[i]` holds data where request.is_weight[i] and the kernel packs it (not a raw input).
  virtual Result<std::unique_ptr<Kernel>> create_kernel(const KernelRequest& request,
                                                        std::span<const HostTensor> weights) = 0;
  // The calls run in order, each after those whose results it reads or overwrites. Kernels,
  // buffers, the arrays behind the spans, and labels must outlive the sequence.
  virtual Result<std::unique_ptr<Sequence>> record(std::span<const KernelCall> calls) = 0;
  // Enqueues a sequence that this device recorded; it must live until wait() returns.
  virtual Status submit(Sequence& sequence) = 0;
  // Until everything submitted and every upload and copy is done. Adds the times of profiled calls.
  virtual Status wait() = 0;
};

// Records, submits and waits: for calls that run once.
inline Status run_once(Device& device, std::span<const KernelCall> calls) {
  ZT_ASSIGN_OR_RETURN(const auto sequence, device.record(calls));
  ZT_RETURN_IF_ERROR(device.submit(*sequence));
  return device.wait();
}

struct DeviceOptions {
  int threads = 0;  // 0: what the process may use (cgroup limits respected)
  // Limits the instruction set or features, for tests; each backend's README has its words: "avx2",
  // "baseline,no-coopmat", ...
  std::string force_target;
};

// Changes with every incompatible edit of this header.
inline constexpr uint32_t kBackendAbi = 3;

struct BackendModule {
  uint32_t abi = kBackendAbi;
  const char* name = "";
  // Devices present, without opening them. An error says why there are none (no driver, ...).
  Result<std::vector<DeviceInfo>> (*enumerate)(const DeviceOptions& options) = nullptr;
  Result<std::unique_ptr<Device>> (*open)(int index, const DeviceOptions& options) = nullptr;
};

}  // namespace zoetrope

// Every backend library exports exactly this.
#define ZT_EXPORT_BACKEND(module)                                                    \
  extern "C" __attribute__((visibility("default"))) const ::zoetrope::BackendModule* \
  zoetrope_backend() {                                                               \
    return &(module);                                                                \
  }
