#include "backends/cuda/device.h"

#include <algorithm>
#include <exception>

#include "backends/cuda/pack.h"

namespace zoetrope::cuda {

Result<std::vector<DeviceInfo>> enumerate_devices(const DeviceOptions& options) {
  ZT_ASSIGN_OR_RETURN(const Switches switches, parse_switches(options.force_target));
  ZT_ASSIGN_OR_RETURN(const int count, count_devices());
  std::vector<DeviceInfo> list;
  for (int i = 0; i < count; ++i) {
    const auto caps = read_capabilities(i, switches);
    if (caps.ok()) {
      list.push_back(caps->info());
    } else {  // keeps its number
      DeviceInfo info;
      info.backend = "cuda";
      info.name = str("device ", i);
      info.unusable = caps.status().message();
      list.push_back(std::move(info));
    }
  }
  return list;
}

Result<std::unique_ptr<Device>> CudaDevice::open(int index, const DeviceOptions& options) {
  ZT_ASSIGN_OR_RETURN(const Switches switches, parse_switches(options.force_target));
  ZT_RETURN_IF_ERROR(count_devices().status());
  std::unique_ptr<CudaDevice> device(new CudaDevice);
  ZT_ASSIGN_OR_RETURN(device->context_.caps, read_capabilities(index, switches));
  ZT_RETURN_IF_ERROR(device->select());
  ZT_RETURN_IF_ERROR(
      check(cudaStreamCreateWithFlags(&device->context_.stream, cudaStreamNonBlocking),
            "creating a stream"));
  ZT_ASSIGN_OR_RETURN(device->transfer_, Transfer::create());
  ZT_ASSIGN_OR_RETURN(device->side_copies_, SideCopies::create());
  device->context_.transfer = device->transfer_.get();
  if (device->context_.caps.cublaslt > 0) {
    ZT_ASSIGN_OR_RETURN(device->cublaslt_, CublasLt::open(device->context_.caps));
    device->context_.cublaslt = device->cublaslt_.get();
  }
  device->info_ = device->context_.caps.info();
  // Others may use the device too: plan with what is free.
  size_t free = 0, total = 0;
  ZT_RETURN_IF_ERROR(check(cudaMemGetInfo(&free, &total), "asking for free memory"));
  device->info_.memory_bytes = static_cast<int64_t>(free);
  return std::unique_ptr<Device>(std::move(device));
}

CudaDevice::~CudaDevice() {
  if (context_.stream == nullptr) return;
  (void)select();
  (void)cudaStreamSynchronize(context_.stream);
  (void)cudaStreamDestroy(context_.stream);
}

Status CudaDevice::select() const {
  return check(cudaSetDevice(context_.caps.index), str("opening '", context_.caps.name, "'"));
}

Result<std::unique_ptr<Buffer>> CudaDevice::allocate(int64_t bytes) {
  ZT_RETURN_IF_ERROR(select());
  ZT_ASSIGN_OR_RETURN(DeviceMemory memory, DeviceMemory::allocate(bytes));
  return std::unique_ptr<Buffer>(new DeviceBuffer(std::move(memory), &allocated_));
}

Result<std::unique_ptr<Buffer>> CudaDevice::allocate_host(int64_t bytes) {
  ZT_RETURN_IF_ERROR(select());
  return HostBuffer::create(bytes);
}

Result<std::unique_ptr<Buffer>> CudaDevice::wrap_host(const void*, int64_t) {
  return error(Code::kUnsupported, "the cuda backend keeps weights in device memory");
}

Status CudaDevice::order_after_kernels(const char* begin, int64_t bytes) {
  for (const CudaSequence* sequence : in_flight_)
    if (sequence->touched().overlaps(begin, bytes))
      ZT_RETURN_IF_ERROR(transfer_->wait_for(sequence->done()));
  return Status();
}

Status CudaDevice::upload(BufferView dst, const void* src) {
  ZT_RETURN_IF_ERROR(select());
  ZT_RETURN_IF_ERROR(order_after_kernels(address(dst), dst.bytes));
  return transfer_->upload(address(dst), src, dst.bytes);
}

Status CudaDevice::download(void* dst, BufferView src) {
  ZT_RETURN_IF_ERROR(select());
  ZT_RETURN_IF_ERROR(order_after_kernels(address(src), src.bytes));
  return transfer_->download(dst, address(src), src.bytes);
}

Status CudaDevice::copy(BufferView dst, BufferView src) {
  if (dst.bytes != src.bytes)
    return error(Code::kInvalidArgument, "copying ", src.bytes, " bytes into ", dst.bytes);
  ZT_RETURN_IF_ERROR(select());
  ZT_RETURN_IF_ERROR(order_after_kernels(address(dst), dst.bytes));
  ZT_RETURN_IF_ERROR(order_after_kernels(address(src), src.bytes));
  return transfer_->copy(address(dst), address(src), dst.bytes);
}

Result<KernelInfo> CudaDevice::query_kernel(const KernelRequest& request) {
  ZT_RETURN_IF_ERROR(select());
  auto kernel = prepare_kernel(request, context_);
  if (!kernel.ok()) return kernel.status();
  return (*kernel)->info;
}

Status CudaDevice::upload_beside(BufferView dst, BufferView src, const Order& order) {
  if (dst.bytes != src.bytes)
    return error(Code::kInvalidArgument, "copying ", src.bytes, " bytes into ", dst.bytes);
  ZT_RETURN_IF_ERROR(select());
  return side_copies_->upload(address(dst),
                              static_cast<const char*>(src.buffer->host_data()) + src.offset,
                              src.bytes, order);
}

Result<std::unique_ptr<Fence>> CudaDevice::create_fence() {
  ZT_RETURN_IF_ERROR(select());
  ZT_ASSIGN_OR_RETURN(auto fence, CudaFence::create());
  return std::unique_ptr<Fence>(std::move(fence));
}

Status CudaDevice::pack(const KernelRequest&, const PackedInput& packed, const HostTensor& tensor,
                        BufferView to) {
  ZT_RETURN_IF_ERROR(select());
  ZT_ASSIGN_OR_RETURN(const DType dtype, dtype_of_layout(packed.layout));
  return pack_weight(context_, tensor, dtype, address(to));
}

Result<std::unique_ptr<Kernel>> CudaDevice::create_kernel(const KernelRequest& request) {
  ZT_RETURN_IF_ERROR(select());
  try {
    auto kernel = prepare_kernel(request, context_);
    if (!kernel.ok()) return kernel.status();
    ZT_RETURN_IF_ERROR((*kernel)->choose());
    return std::unique_ptr<Kernel>(std::move(*kernel));
  } catch (const std::exception& e) {  // of the standard library: out of memory
    return error(Code::kResourceExhausted, e.what());
  }
}

Result<std::unique_ptr<Sequence>> CudaDevice::record(std::span<const KernelCall> calls) {
  ZT_RETURN_IF_ERROR(select());
  ZT_ASSIGN_OR_RETURN(auto sequence, CudaSequence::record(context_, calls));
  return std::unique_ptr<Sequence>(std::move(sequence));
}

Status CudaDevice::submit(Sequence& sequence, const Order& order) {
  ZT_RETURN_IF_ERROR(select());
  auto& calls = static_cast<CudaSequence&>(sequence);
  ZT_RETURN_IF_ERROR(transfer_->order_before(context_.stream, calls.touched()));
  if (std::find(in_flight_.begin(), in_flight_.end(), &calls) == in_flight_.end())
    in_flight_.push_back(&calls);
  ZT_RETURN_IF_ERROR(follow(order, context_.stream));
  ZT_RETURN_IF_ERROR(calls.submit());
  return set_fence(order, context_.stream);
}

Status CudaDevice::wait() {
  ZT_RETURN_IF_ERROR(select());
  const std::vector<CudaSequence*> done = std::exchange(in_flight_, {});
  ZT_RETURN_IF_ERROR(check(cudaStreamSynchronize(context_.stream), "running kernels"));
  ZT_RETURN_IF_ERROR(transfer_->wait());
  for (CudaSequence* sequence : done) ZT_RETURN_IF_ERROR(sequence->collect_times());
  return Status();
}

}  // namespace zoetrope::cuda
