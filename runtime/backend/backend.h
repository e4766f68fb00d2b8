// The contract between the runtime and a backend: a device and what it hands out. A backend is a
// shared library that exports zoetrope_backend() and knows nothing else of the runtime.
// backends/reference is the smallest one: copy it to begin a new backend.
//
// Memory belongs to the runtime: a device allocates buffers and fills them on request. Kernels hold
// none; weights reach them as arguments, in the layout that they asked for.
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
  std::string name;                   // "AMD EPYC, avx512, 2 threads"
  std::string hardware;               // the name without settings that change no result; empty: it
  std::string unusable;               // why it cannot be opened; empty: it can
  std::string uuid;                   // of its chip, in hexadecimal; empty: not known
  int64_t memory_bytes = 0;           // what plans may use in all
  std::vector<std::string> features;  // "avx512_bf16", "amx_bf16", "cooperative_matrix", ...
  int64_t piece_bytes = INT64_MAX;    // buffers up to this size are one piece of memory
  bool software = false;              // emulated on the host's processor: only taken when named
  bool side_by_side = false;          // calls that share no memory may run at one time
  bool host_memory = false;  // its buffers are the host's memory: wrap_host() works, and weights
                             // are streamed by packing them again
  double flops_f32 = 0;      // rough peak rates for time estimates; 0 when unknown
  double flops_bf16 = 0;
  double bytes_per_second = 0;
  double upload_bytes_per_second = 0;  // from pinned host memory

  // The host's processor does its work, and other work of the host keeps it waiting.
  bool on_host() const { return host_memory || software; }
  // Two backends may know one chip.
  bool shares_processor(const DeviceInfo& other) const {
    return (on_host() && other.on_host()) || (!uuid.empty() && uuid == other.uuid);
  }
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

// A constant tensor in host memory (usually the mapped model file), row major. Valid only during
// the call that receives it.
struct HostTensor {
  TensorType type;
  const void* data = nullptr;
};

// A weight that a kernel reads in a layout of its own.
struct PackedInput {
  size_t input = 0;
  int64_t bytes = 0;
  // Fingerprint. On one device, the same tensor packed for the same layout is the same bytes,
  // whatever node asks: it is packed once and shared.
  std::string layout;
};

struct KernelRequest;

// Of a dequantize that expands a weight for one call: the layout in which that reads it.
struct PackedOutput {
  std::shared_ptr<const KernelRequest> reader;  // null: row major
  PackedInput packed = {};
};

// What the planner asks: can you run this node on these types? No data yet, so that a 60 GB model
// is planned without reading it.
struct KernelRequest {
  const Node* node = nullptr;
  std::vector<const TensorType*> inputs;  // null: absent optional input
  std::vector<const TensorType*> outputs;
  // Input i is constant: a weight of the model file, or expanded from one before each call.
  std::vector<bool> is_weight;
  PackedOutput output_as = {};
};

struct KernelInfo {
  std::string name;                      // "matmul_f32_onednn_brgemm": shown in plans and profiles
  int64_t workspace_bytes = 0;           // scratch during the call, in the arena
  std::vector<PackedInput> packed = {};  // other weights are read as the model file has them
  int32_t row = 0;                       // of BackendModule::kernel_rows

  const PackedInput* packed_input(size_t input) const {
    for (const PackedInput& p : packed)
      if (p.input == input) return &p;
    return nullptr;
  }
};

struct KernelArgs {
  std::span<const BufferView> inputs;  // an absent one has a null buffer; packed ones lie packed
  std::span<const BufferView> outputs;
  BufferView workspace;
};

// One prepared operation: code, no data. Immutable after creation.
class Kernel {
 public:
  virtual ~Kernel() = default;
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

// A moment in the work of a device, set again and again. Who waits for it waits for the last
// setting asked for before; one never set is no wait.
class Fence {
 public:
  virtual ~Fence() = default;
  // Blocks the calling thread: how the work of another device, or the host, comes after.
  virtual Status wait() = 0;
};

// When a submission or an upload begins, and what is set once it is done. Fences of this device.
struct Order {
  std::span<Fence* const> after;
  Fence* sets = nullptr;
};

// For devices whose work is done when submit() returns.
class DoneFence : public Fence {
 public:
  Status wait() override { return Status(); }
};

// Not thread safe: one thread at a time drives a device.
class Device {
 public:
  virtual ~Device() = default;
  virtual const DeviceInfo& info() const = 0;

  // Alignment of every allocation and arena offset.
  virtual int64_t alignment() const = 0;
  virtual Result<std::unique_ptr<Buffer>> allocate(int64_t bytes) = 0;
  // What the living buffers of allocate() take in truth, as the allocator counted them.
  virtual int64_t allocated_bytes() const = 0;
  // Host memory that upload_beside() reads at full speed (pinned).
  virtual Result<std::unique_ptr<Buffer>> allocate_host(int64_t bytes) = 0;
  // A buffer over host memory that outlives it, without a copy; kUnsupported where the device
  // cannot.
  virtual Result<std::unique_ptr<Buffer>> wrap_host(const void* data, int64_t bytes) = 0;
  // `src` has been read when it returns; the copy may still be under way.
  virtual Status upload(BufferView dst, const void* src) = 0;
  virtual Status download(void* dst, BufferView src) = 0;
  virtual Status copy(BufferView dst, BufferView src) = 0;
  // From a buffer of allocate_host(), beside all other work: `order` alone says when. `src` must
  // stay as it is until then.
  virtual Status upload_beside(BufferView dst, BufferView src, const Order& order) = 0;
  virtual Result<std::unique_ptr<Fence>> create_fence() = 0;

  // kUnsupported: no kernel for it (the planner then decomposes a fused op, or reports the node).
  // Pure: the same answer every time, and nothing is prepared.
  virtual Result<KernelInfo> query_kernel(const KernelRequest& request) = 0;
  // A node that create_kernel() will be asked for: a device may begin to compile it.
  virtual void foresee(const KernelRequest&) {}
  // Fills `to`, within one piece of memory, with the tensor of input `packed.input` as
  // query_kernel() said. Returns when the tensor has been read; what is submitted later sees the
  // result.
  virtual Status pack(const KernelRequest& request, const PackedInput& packed,
                      const HostTensor& tensor, BufferView to) = 0;
  virtual Result<std::unique_ptr<Kernel>> create_kernel(const KernelRequest& request) = 0;
  // The calls run in order, each after those whose results it reads or overwrites. Kernels,
  // buffers, the arrays behind the spans, and labels must outlive the sequence.
  virtual Result<std::unique_ptr<Sequence>> record(std::span<const KernelCall> calls) = 0;
  // Enqueues a sequence that this device recorded, after those submitted before; it must live until
  // wait() returns.
  virtual Status submit(Sequence& sequence, const Order& order = {}) = 0;
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
inline constexpr uint32_t kBackendAbi = 7;

struct BackendModule {
  uint32_t abi = kBackendAbi;
  const char* name = "";
  // Devices present, without opening them. An error says why there are none (no driver, ...).
  Result<std::vector<DeviceInfo>> (*enumerate)(const DeviceOptions& options) = nullptr;
  Result<std::unique_ptr<Device>> (*open)(int index, const DeviceOptions& options) = nullptr;
  // The kernel table, a line a row: "matmul simd_matmul". Tests ask, to see that each is tested.
  std::vector<std::string> (*kernel_rows)() = nullptr;
};

}  // namespace zoetrope

// Every backend library exports exactly this.
#define ZT_EXPORT_BACKEND(module)                                                    \
  extern "C" __attribute__((visibility("default"))) const ::zoetrope::BackendModule* \
  zoetrope_backend() {                                                               \
    return &(module);                                                                \
  }
