#include "backends/vulkan/device.h"

#include <array>
#include <cstdlib>
#include <utility>

#include "backends/vulkan/instance.h"
#include "graph/host.h"

namespace zoetrope::vulkan {
namespace {

DeviceInfo describe(const Capabilities& caps) {
  DeviceInfo info;
  info.backend = "vulkan";
  info.name = str(caps.name, ", ", caps.driver);
  info.memory_bytes = caps.memory_bytes;
  info.features = caps.features();
  info.software = caps.software;
  info.side_by_side = !caps.software;  // but where they touch the same memory
  info.uuid = caps.uuid;
  info.piece_bytes = caps.max_allocation;
  info.upload_bytes_per_second = 20e9;  // of a card behind 16 lanes of PCIe 4; plans' rough times
  return info;
}

// The switches that were asked for; ZOETROPE_VULKAN_VALIDATE=1 adds validation.
Result<Switches> switches_of(const DeviceOptions& options) {
  ZT_ASSIGN_OR_RETURN(Switches switches, parse_switches(options.force_target));
  const char* validate = std::getenv("ZOETROPE_VULKAN_VALIDATE");
  if (validate != nullptr && *validate == '1') switches.validate = true;
  return switches;
}

}  // namespace

Result<std::vector<DeviceInfo>> enumerate_devices(const DeviceOptions& options) {
  ZT_ASSIGN_OR_RETURN(const Switches switches, switches_of(options));
  ZT_ASSIGN_OR_RETURN(const Instance* const instance, Instance::get(switches.validate));
  if (instance->devices().empty())
    return error(Code::kUnavailable, "Vulkan is installed, but no driver offers a device");
  std::vector<DeviceInfo> list;
  for (VkPhysicalDevice device : instance->devices()) {
    Capabilities caps;
    EnabledFeatures features;
    if (Status status = read_capabilities(device, switches, &caps, &features); status.ok()) {
      list.push_back(describe(caps));
    } else {  // keeps its number
      list.push_back({.backend = "vulkan", .name = caps.name, .unusable = status.message()});
    }
  }
  return list;
}

Result<std::unique_ptr<Device>> VulkanDevice::open(int index, const DeviceOptions& options) {
  ZT_ASSIGN_OR_RETURN(const Switches switches, switches_of(options));
  std::unique_ptr<VulkanDevice> device(new VulkanDevice);
  ZT_ASSIGN_OR_RETURN(device->context_, Context::create(index, switches));
  ZT_ASSIGN_OR_RETURN(device->pipelines_,
                      Pipelines::create(*device->context_,
                                        options.threads > 0 ? options.threads : usable_threads()));
  ZT_ASSIGN_OR_RETURN(device->transfer_, Transfer::create(*device->context_));
  ZT_ASSIGN_OR_RETURN(device->side_copies_, SideCopies::create(*device->context_));
  device->info_ = describe(device->context_->caps);
  return std::unique_ptr<Device>(std::move(device));
}

VulkanDevice::~VulkanDevice() {
  if (context_ != nullptr) vkDeviceWaitIdle(context_->device);
}

Result<std::unique_ptr<Buffer>> VulkanDevice::allocate(int64_t bytes) {
  return DeviceBuffer::create(*context_, bytes);
}

Result<std::unique_ptr<Buffer>> VulkanDevice::allocate_host(int64_t bytes) {
  ZT_ASSIGN_OR_RETURN(auto memory,
                      HostVisible::create(*context_, bytes, HostVisible::Use::kUpload));
  return std::unique_ptr<Buffer>(new HostBuffer(std::move(memory)));
}

Result<std::unique_ptr<Buffer>> VulkanDevice::wrap_host(const void*, int64_t) {
  return error(Code::kUnsupported, "the vulkan backend keeps weights in device memory");
}

Status VulkanDevice::upload(BufferView dst, const void* src) { return transfer_->upload(dst, src); }

Status VulkanDevice::download(void* dst, BufferView src) { return transfer_->download(dst, src); }

Status VulkanDevice::copy(BufferView dst, BufferView src) { return transfer_->copy(dst, src); }

Status VulkanDevice::upload_beside(BufferView dst, BufferView src, const Order& order) {
  return side_copies_->upload(dst, src, order);
}

Result<std::unique_ptr<Fence>> VulkanDevice::create_fence() {
  return std::unique_ptr<Fence>(new VulkanFence(*context_));
}

Result<KernelInfo> VulkanDevice::query_kernel(const KernelRequest& request) {
  ZT_ASSIGN_OR_RETURN(KernelSpec spec, prepare_kernel(request, context_->caps));
  KernelInfo info{.name = std::move(spec.name), .workspace_bytes = spec.workspace_bytes};
  info.row = spec.row;
  if (spec.packing) info.packed.push_back(spec.packing->packed);
  return info;
}

void VulkanDevice::compile(const KernelSpec& spec) {
  // Without addresses it depends on the operands' sizes.
  if (!context_->caps.addresses) return;
  if (spec.packing) pipelines_->prepare(spec.packing->dispatch(0, 1), {});
  for (const Dispatch& dispatch : spec.dispatches)
    if (dispatch.groups > 0) pipelines_->prepare(dispatch, {});
}

void VulkanDevice::foresee(const KernelRequest& request) {
  if (auto spec = prepare_kernel(request, context_->caps); spec.ok()) compile(*spec);
}

Result<std::unique_ptr<Kernel>> VulkanDevice::create_kernel(const KernelRequest& request) {
  ZT_ASSIGN_OR_RETURN(KernelSpec spec, prepare_kernel(request, context_->caps));
  compile(spec);  // from now on, not at the first run; record() waits and tells what failed
  return std::unique_ptr<Kernel>(new VulkanKernel(std::move(spec)));
}

Status VulkanDevice::cast_elements(const TensorType& type, BufferView from,
                                   const TensorType& wanted, BufferView to) {
  Node node;
  node.op = OpKind::kCast;
  node.attrs = Attrs{{"dtype", std::string(dtype_name(wanted.dtype))}};
  const KernelRequest request{
      .node = &node, .inputs = {&type}, .outputs = {&wanted}, .is_weight = {true}};
  ZT_ASSIGN_OR_RETURN(KernelSpec spec, prepare_kernel(request, context_->caps));
  const VulkanKernel kernel(std::move(spec));
  const KernelCall call{
      .kernel = &kernel, .args = {{&from, 1}, {&to, 1}, {}}, .label = "casting a weight"};
  return run_once(*this, {&call, 1});
}

// Beside the packed weight, the device holds one part of the raw one meanwhile, and that part's
// elements in the dtype that is packed.
Status VulkanDevice::pack(const KernelRequest& request, const PackedInput& packed,
                          const HostTensor& tensor, BufferView to) {
  ZT_ASSIGN_OR_RETURN(const KernelSpec spec, prepare_kernel(request, context_->caps));
  if (!spec.packing || spec.packing->packed.input != packed.input ||
      spec.packing->packed.layout != packed.layout || packed.bytes != to.bytes)
    return error(Code::kInternal, spec.name, " does not pack input ", packed.input, " as ",
                 packed.layout, " into ", to.bytes, " bytes");
  const Packing& packing = *spec.packing;
  const int64_t rows = tensor.type.shape[0], row_bytes = tensor.type.bytes() / rows;
  const int64_t most = std::min(rows, packing.rows_at_once);
  ZT_ASSIGN_OR_RETURN(auto part, allocate(most * row_bytes));
  const int64_t columns = tensor.type.shape.elements() / rows;
  const bool casts = tensor.type.dtype != packing.dtype;
  std::unique_ptr<Buffer> cast;
  if (casts) {
    ZT_ASSIGN_OR_RETURN(cast, allocate(most * columns * dtype_size(packing.dtype)));
  }
  for (int64_t first = 0; first < rows; first += packing.rows_at_once) {
    const int64_t count = std::min(rows - first, packing.rows_at_once);
    BufferView from{part.get(), 0, count * row_bytes};
    ZT_RETURN_IF_ERROR(upload(from, static_cast<const char*>(tensor.data) + first * row_bytes));
    if (casts) {
      const TensorType raw{tensor.type.dtype, {count, columns}}, wanted{packing.dtype, raw.shape};
      const BufferView to_pack{cast.get(), 0, wanted.bytes()};
      ZT_RETURN_IF_ERROR(cast_elements(raw, from, wanted, to_pack));
      from = to_pack;
    }
    const VulkanKernel kernel({.name = "pack", .dispatches = {packing.dispatch(first, count)}});
    const KernelCall call{
        .kernel = &kernel, .args = {{&from, 1}, {&to, 1}, {}}, .label = "packing a weight"};
    ZT_RETURN_IF_ERROR(run_once(*this, {&call, 1}));
  }
  return Status();
}

Result<std::unique_ptr<Sequence>> VulkanDevice::record(std::span<const KernelCall> calls) {
  ZT_ASSIGN_OR_RETURN(auto sequence, VulkanSequence::record(*context_, *pipelines_, calls));
  return std::unique_ptr<Sequence>(std::move(sequence));
}

Status VulkanDevice::submit(Sequence& sequence, const Order& order) {
  auto& commands = static_cast<VulkanSequence&>(sequence);
  ZT_RETURN_IF_ERROR(transfer_->flush());
  ZT_ASSIGN_OR_RETURN(const uint64_t number,
                      context_->submit(commands.command_buffers(), moments_of(order)));
  set_fence(order, context_->moment_of(number));
  in_flight_.push_back(&commands);
  return Status();
}

Status VulkanDevice::wait() {
  ZT_RETURN_IF_ERROR(transfer_->flush());
  const std::vector<VulkanSequence*> done = std::exchange(in_flight_, {});
  ZT_RETURN_IF_ERROR(context_->wait_for(context_->last_submitted()));
  for (VulkanSequence* sequence : done) ZT_RETURN_IF_ERROR(sequence->collect_times());
  return Status();
}

}  // namespace zoetrope::vulkan
