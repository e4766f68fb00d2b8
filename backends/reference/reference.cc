// The reference backend: host memory, double arithmetic, one call after the other.
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <new>

#include "graph/host.h"
#include "graph/host_op.h"
#include "runtime/backend/backend.h"

namespace zoetrope {
namespace {

constexpr int64_t kAlignment = 64;

class HostBuffer : public Buffer {
 public:
  // Owns `data` and counts it in `*allocated`, or borrows it when that is null.
  HostBuffer(void* data, int64_t bytes, int64_t* allocated)
      : data_(data), bytes_(bytes), allocated_(allocated) {
    if (allocated_ != nullptr) *allocated_ += bytes_;
  }
  ~HostBuffer() override {
    if (allocated_ == nullptr) return;
    *allocated_ -= bytes_;
    ::operator delete(data_, std::align_val_t(kAlignment));
  }
  int64_t bytes() const override { return bytes_; }
  void* host_data() override { return data_; }

 private:
  void* data_;
  int64_t bytes_;
  int64_t* allocated_;
};

char* address(const BufferView& view) {
  return static_cast<char*>(view.buffer->host_data()) + view.offset;
}

class ReferenceKernel : public Kernel {
 public:
  explicit ReferenceKernel(const KernelRequest& request)
      : op_(request.node->op, request.node->attrs, request.inputs, request.outputs) {}

  void run(const KernelArgs& args) const {
    std::vector<const void*> inputs;
    std::vector<void*> outputs;
    for (const BufferView& view : args.inputs)
      inputs.push_back(view.buffer != nullptr ? address(view) : nullptr);
    for (const BufferView& view : args.outputs) outputs.push_back(address(view));
    op_.run(inputs, outputs);
  }

 private:
  const HostOp op_;
};

DeviceInfo reference_info() {
  DeviceInfo info;
  info.backend = "reference";
  info.name = "double arithmetic on one thread";
  info.memory_bytes = usable_memory();
  info.host_memory = true;
  info.flops_f32 = info.flops_bf16 = 1e9;
  info.bytes_per_second = 1e9;
  return info;
}

// The table: a row an op with a reference, in their order.
std::vector<std::string> kernel_rows() {
  std::vector<std::string> rows;
  for (OpKind op : all_ops())
    if (op_def(op).reference != nullptr) rows.emplace_back(op_def(op).name);
  return rows;
}

int32_t row_of(OpKind op) {
  int32_t row = 0;
  for (OpKind other : all_ops()) {
    if (other == op) break;
    row += op_def(other).reference != nullptr;
  }
  return row;
}

class ReferenceDevice : public Device {
 public:
  const DeviceInfo& info() const override { return info_; }
  int64_t alignment() const override { return kAlignment; }

  Result<std::unique_ptr<Buffer>> allocate(int64_t bytes) override {
    if (bytes < 0) return error(Code::kInvalidArgument, "cannot allocate ", bytes, " bytes");
    void* data =
        ::operator new(static_cast<size_t>(bytes), std::align_val_t(kAlignment), std::nothrow);
    if (data == nullptr)
      return error(Code::kResourceExhausted, "cannot allocate ", bytes, " bytes of host memory");
    return std::unique_ptr<Buffer>(new HostBuffer(data, bytes, &allocated_));
  }
  int64_t allocated_bytes() const override { return allocated_; }
  Result<std::unique_ptr<Buffer>> allocate_host(int64_t bytes) override { return allocate(bytes); }

  Result<std::unique_ptr<Buffer>> wrap_host(const void* data, int64_t bytes) override {
    return std::unique_ptr<Buffer>(new HostBuffer(const_cast<void*>(data), bytes, nullptr));
  }

  Status upload(BufferView dst, const void* src) override {
    std::memcpy(address(dst), src, static_cast<size_t>(dst.bytes));
    return Status();
  }
  Status download(void* dst, BufferView src) override {
    std::memcpy(dst, address(src), static_cast<size_t>(src.bytes));
    return Status();
  }
  Status copy(BufferView dst, BufferView src) override {
    std::memmove(address(dst), address(src), static_cast<size_t>(src.bytes));
    return Status();
  }

  Status upload_beside(BufferView dst, BufferView src, const Order&) override {
    return copy(dst, src);
  }
  Result<std::unique_ptr<Fence>> create_fence() override {
    return std::unique_ptr<Fence>(new DoneFence);
  }

  Result<KernelInfo> query_kernel(const KernelRequest& request) override {
    const OpDef& def = op_def(request.node->op);
    if (def.reference == nullptr)
      return error(Code::kUnsupported, "the reference backend has core ops only");
    return KernelInfo{.name = str(def.name, "_f64"), .row = row_of(def.kind)};
  }
  Status pack(const KernelRequest&, const PackedInput&, const HostTensor&, BufferView) override {
    return error(Code::kInternal, "the reference backend reads weights as they are");
  }

  Result<std::unique_ptr<Kernel>> create_kernel(const KernelRequest& request) override {
    ZT_RETURN_IF_ERROR(query_kernel(request).status());
    return std::unique_ptr<Kernel>(new ReferenceKernel(request));
  }

  Result<std::unique_ptr<Sequence>> record(std::span<const KernelCall> calls) override {
    return std::unique_ptr<Sequence>(new CallList(calls));
  }
  Status submit(Sequence& sequence, const Order&) override {
    using Clock = std::chrono::steady_clock;
    for (const KernelCall& call : static_cast<const CallList&>(sequence).calls) {
      const Clock::time_point start = Clock::now();
      static_cast<const ReferenceKernel*>(call.kernel)->run(call.args);
      if (call.seconds != nullptr)
        *call.seconds += std::chrono::duration<double>(Clock::now() - start).count();
    }
    return Status();
  }
  Status wait() override { return Status(); }

 private:
  DeviceInfo info_ = reference_info();
  int64_t allocated_ = 0;  // of living buffers, which must not outlive the device
};

Result<std::vector<DeviceInfo>> enumerate(const DeviceOptions&) {
  return std::vector<DeviceInfo>{reference_info()};
}

Result<std::unique_ptr<Device>> open(int, const DeviceOptions&) {
  return std::unique_ptr<Device>(new ReferenceDevice);
}

constexpr BackendModule kModule{
    .name = "reference",
    .enumerate = enumerate,
    .open = open,
    .kernel_rows = kernel_rows,
};

}  // namespace
}  // namespace zoetrope

ZT_EXPORT_BACKEND(zoetrope::kModule)
