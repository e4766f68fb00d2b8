#include "backends/cpu/device.h"

#include <sys/mman.h>

#include <chrono>
#include <cstring>
#include <exception>
#include <new>

#include "backends/cpu/gemm/gemm.h"
#include "graph/host.h"
#include "runtime/backend/foreign_code.h"

namespace zoetrope::cpu {
namespace {

constexpr int64_t kPage = 4096;

// Of the heap, exactly as large as asked for.
class SmallBuffer : public Buffer {
 public:
  SmallBuffer(int64_t bytes, int64_t* allocated)
      : data_(bytes), bytes_(bytes), allocated_(allocated) {
    *allocated_ += bytes_;
  }
  ~SmallBuffer() override { *allocated_ -= bytes_; }
  int64_t bytes() const override { return bytes_; }
  void* host_data() override { return data_.get(); }

 private:
  AlignedBytes data_;
  int64_t bytes_;
  int64_t* allocated_;  // the device's count
};

// Pages straight from the kernel: zeroed, aligned, huge where the system allows it. What the last
// page has beyond the buffer is not counted, as plans know no pages.
class PageBuffer : public Buffer {
 public:
  PageBuffer(void* data, int64_t bytes, int64_t* allocated)
      : data_(data), bytes_(bytes), allocated_(allocated) {
    *allocated_ += bytes_;
  }
  ~PageBuffer() override {
    munmap(data_, static_cast<size_t>(align_up(bytes_, kPage)));
    *allocated_ -= bytes_;
  }
  int64_t bytes() const override { return bytes_; }
  void* host_data() override { return data_; }

 private:
  void* data_;
  int64_t bytes_;
  int64_t* allocated_;  // the device's count
};

class HostBuffer : public Buffer {
 public:
  HostBuffer(const void* data, int64_t bytes) : data_(const_cast<void*>(data)), bytes_(bytes) {}
  int64_t bytes() const override { return bytes_; }
  void* host_data() override { return data_; }

 private:
  void* data_;  // not owned; kernels only read weights
  int64_t bytes_;
};

char* address(const BufferView& view) {
  return static_cast<char*>(view.buffer->host_data()) + view.offset;
}

}  // namespace

CpuDevice::CpuDevice(DeviceInfo info, Isa isa, int threads)
    : info_(std::move(info)), pool_(threads), context_{isa, &simd_for(isa), &pool_} {}

Result<std::unique_ptr<Buffer>> CpuDevice::allocate(int64_t bytes) {
  if (bytes < 0) return error(Code::kInvalidArgument, "a buffer of ", bytes, " bytes");
  if (bytes < 16 * kPage)
    return std::unique_ptr<Buffer>(
        new SmallBuffer(align_up(std::max<int64_t>(bytes, 1)), &allocated_));
  const int64_t size = align_up(bytes, kPage);
  void* data = mmap(nullptr, static_cast<size_t>(size), PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (data == MAP_FAILED)
    return error(Code::kResourceExhausted, "the system refused ", bytes, " bytes of memory");
  if (size >= (int64_t{4} << 20)) madvise(data, static_cast<size_t>(size), MADV_HUGEPAGE);
  return std::unique_ptr<Buffer>(new PageBuffer(data, align_up(bytes), &allocated_));
}

Result<std::unique_ptr<Buffer>> CpuDevice::wrap_host(const void* data, int64_t bytes) {
  return std::unique_ptr<Buffer>(new HostBuffer(data, bytes));
}

Status CpuDevice::upload(BufferView dst, const void* src) {
  std::memcpy(address(dst), src, static_cast<size_t>(dst.bytes));
  return Status();
}

Status CpuDevice::download(void* dst, BufferView src) {
  std::memcpy(dst, address(src), static_cast<size_t>(src.bytes));
  return Status();
}

Status CpuDevice::copy(BufferView dst, BufferView src) {
  if (dst.bytes != src.bytes)
    return error(Code::kInvalidArgument, "copying ", src.bytes, " bytes into ", dst.bytes);
  std::memmove(address(dst), address(src), static_cast<size_t>(dst.bytes));
  return Status();
}

Result<KernelInfo> CpuDevice::query_kernel(const KernelRequest& request) {
  auto kernel = prepare_kernel(request, context_);
  if (!kernel.ok()) return kernel.status();
  return (*kernel)->info;
}

Status CpuDevice::pack(const KernelRequest& request, const PackedInput& packed,
                       const HostTensor& tensor, BufferView to) {
  ZT_ASSIGN_OR_RETURN(const auto kernel, prepare_kernel(request, context_));
  const PackedInput* const own = kernel->info.packed_input(packed.input);
  if (own == nullptr || own->layout != packed.layout || own->bytes != to.bytes)
    return error(Code::kInternal, kernel->info.name, " does not pack input ", packed.input, " as ",
                 packed.layout, " into ", to.bytes, " bytes");
  kernel->pack(tensor, address(to));
  return Status();
}

Result<std::unique_ptr<Kernel>> CpuDevice::create_kernel(const KernelRequest& request) {
  try {
    auto kernel = prepare_kernel(request, context_);
    if (!kernel.ok()) return kernel.status();
    const ForeignCode making(ForeignCode::Kind::kSetUp, "making a kernel of oneDNN");
    ZT_RETURN_IF_ERROR((*kernel)->generate());
    return std::unique_ptr<Kernel>(std::move(*kernel));
  } catch (const std::exception& e) {  // of the standard library: out of memory
    return error(Code::kResourceExhausted, e.what());
  }
}

Result<std::unique_ptr<Sequence>> CpuDevice::record(std::span<const KernelCall> calls) {
  return std::unique_ptr<Sequence>(new CallList(calls));
}

Status CpuDevice::submit(Sequence& sequence, const Order&) {
  using Clock = std::chrono::steady_clock;
  for (const KernelCall& call : static_cast<const CallList&>(sequence).calls) {
    const auto begin = call.seconds != nullptr ? Clock::now() : Clock::time_point();
    const auto* kernel = static_cast<const CpuKernel*>(call.kernel);
    try {
      if (Status status = kernel->run(Call(call.args)); !status.ok())
        return status.with_context(call.label);
    } catch (const std::bad_alloc&) {
      return error(Code::kResourceExhausted, call.label, ": out of memory");
    } catch (const std::exception& e) {
      return error(Code::kInternal, call.label, ": ", e.what());
    }
    if (call.seconds != nullptr)
      *call.seconds += std::chrono::duration<double>(Clock::now() - begin).count();
  }
  return Status();
}

Result<DeviceInfo> describe_cpu(const DeviceOptions& options) {
  ZT_ASSIGN_OR_RETURN(Isa isa, detect_isa());
  if (!options.force_target.empty()) {
    ZT_ASSIGN_OR_RETURN(isa, parse_isa(options.force_target, isa));
  }
  const int threads = options.threads > 0 ? options.threads : usable_threads();
  DeviceInfo info;
  info.backend = "cpu";
  info.hardware = str(processor_name(), ", ", isa_name(isa));
  info.name = str(info.hardware, ", ", threads, threads == 1 ? " thread" : " threads");
  info.memory_bytes = usable_memory();
  info.features = feature_names(isa);
  info.host_memory = true;
  // Per thread, from measurements of server cores near 3 GHz; plans use them for rough times.
  constexpr double kF32[] = {15e9, 75e9, 100e9, 100e9, 140e9};
  constexpr double kBf16[] = {15e9, 75e9, 100e9, 200e9, 900e9};
  const auto level = static_cast<size_t>(isa);
  info.flops_f32 = kF32[level] * threads;
  info.flops_bf16 = kBf16[level] * threads;
  info.bytes_per_second = 8e9 * std::min(threads, 12);
  return info;
}

Result<std::unique_ptr<Device>> open_cpu(const DeviceOptions& options) {
  if (options.threads < 0 || options.threads > 1024)
    return error(Code::kInvalidArgument, "threads must lie in [0, 1024]; found ", options.threads);
  ZT_ASSIGN_OR_RETURN(DeviceInfo info, describe_cpu(options));
  ZT_ASSIGN_OR_RETURN(Isa isa, detect_isa());
  if (!options.force_target.empty()) {
    ZT_ASSIGN_OR_RETURN(isa, parse_isa(options.force_target, isa));
  }
  const int threads = options.threads > 0 ? options.threads : usable_threads();
  limit_onednn(isa);
  return std::unique_ptr<Device>(new CpuDevice(std::move(info), isa, threads));
}

}  // namespace zoetrope::cpu
