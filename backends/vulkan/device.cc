#include "backends/vulkan/device.h"

#include <array>
#include <cstdlib>
#include <utility>

#include "backends/vulkan/instance.h"
#include "runtime/backend/host.h"

namespace zoetrope::vulkan {
namespace {

DeviceInfo describe(const Capabilities& caps) {
  DeviceInfo info;
  info.backend = "vulkan";
  info.name = str(caps.name, ", ", caps.driver);
  info.memory_bytes = caps.memory_bytes;
  info.features = caps.features();
  info.software = caps.software;
  return info;
}

// The switches that were asked for; ZOETROPE_VULKAN_VALIDATE=1 adds validation.
Result<Switches> switches_of(const DeviceOptions& options) {
  ZT_ASSIGN_OR_RETURN(Switches switches, parse_switches(options.force_target));
  const char* validate = std::getenv("ZOETROPE_VULKAN_VALIDATE");
  if (validate != nullptr && *validate == '1') switches.validate = true;
  return switches;
}

uint32_t weight_mask(const KernelRequest& request) {
  uint32_t mask = 0;
  for (size_t i = 0; i < request.is_weight.size() && i < 32; ++i)
    if (request.is_weight[i]) mask |= 1u << i;
  return mask;
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
  device->info_ = describe(device->context_->caps);
  return std::unique_ptr<Device>(std::move(device));
}

VulkanDevice::~VulkanDevice() {
  if (context_ != nullptr) vkDeviceWaitIdle(context_->device);
}

Result<std::unique_ptr<Buffer>> VulkanDevice::allocate(int64_t bytes) {
  return DeviceBuffer::create(*context_, bytes);
}

Result<std::unique_ptr<Buffer>> VulkanDevice::wrap_host(const void*, int64_t) {
  return error(Code::kUnsupported, "the vulkan backend keeps weights in device memory");
}

Status VulkanDevice::upload(BufferView dst, const void* src) { return transfer_->upload(dst, src); }

Status VulkanDevice::download(void* dst, BufferView src) { return transfer_->download(dst, src); }

Status VulkanDevice::copy(BufferView dst, BufferView src) { return transfer_->copy(dst, src); }

Result<KernelInfo> VulkanDevice::query_kernel(const KernelRequest& request) {
  for (size_t i = 32; i < request.is_weight.size(); ++i)
    if (request.is_weight[i])
      return error(Code::kUnsupported, "input ", i, " is a weight; only the first 32 may be");
  ZT_ASSIGN_OR_RETURN(KernelSpec spec, prepare_kernel(request, context_->caps));
  if (context_->caps.addresses)
    planned_.insert(planned_.end(), spec.dispatches.begin(), spec.dispatches.end());
  const uint32_t packed = spec.packing ? 1u << spec.packing->input : 0;
  return KernelInfo{.name = std::move(spec.name),
                    .workspace_bytes = spec.workspace_bytes,
                    .packed_bytes = spec.packing ? spec.packing->bytes : 0,
                    .raw_inputs = weight_mask(request) & ~packed};
}

void VulkanDevice::compile(std::span<const Dispatch> dispatches) {
  // Without addresses it depends on the operands' sizes.
  if (!context_->caps.addresses) return;
  for (const Dispatch& dispatch : dispatches)
    if (dispatch.groups > 0) pipelines_->prepare(dispatch, {});
}

Result<std::unique_ptr<Kernel>> VulkanDevice::create_kernel(const KernelRequest& request,
                                                            std::span<const HostTensor> weights) {
  ZT_ASSIGN_OR_RETURN(KernelSpec spec, prepare_kernel(request, context_->caps));
  // Compiled from now on, not at the first run; record() waits and tells what failed. Once the
  // first kernel is wanted, so will be all that were planned, in later phases.
  if (spec.packing) compile(std::array{spec.packing->dispatch(0, 1)});
  compile(spec.dispatches);
  compile(std::exchange(planned_, {}));
  auto kernel = std::make_unique<VulkanKernel>(std::move(spec));
  if (kernel->spec.packing) {
    ZT_ASSIGN_OR_RETURN(kernel->packed, pack(*kernel->spec.packing, weights));
  }
  return std::unique_ptr<Kernel>(std::move(kernel));
}

// Beside the packed weight, the device holds one part of the raw one meanwhile.
Result<std::unique_ptr<Buffer>> VulkanDevice::pack(const Packing& packing,
                                                   std::span<const HostTensor> weights) {
  const HostTensor& weight = weights[packing.input];
  const int64_t rows = weight.type.shape[0], row_bytes = weight.type.bytes() / rows;
  ZT_ASSIGN_OR_RETURN(auto packed, allocate(packing.bytes));
  ZT_ASSIGN_OR_RETURN(auto part, allocate(std::min(rows, packing.rows_at_once) * row_bytes));
  const BufferView to{packed.get(), 0, packed->bytes()};
  for (int64_t first = 0; first < rows; first += packing.rows_at_once) {
    const int64_t count = std::min(rows - first, packing.rows_at_once);
    const BufferView from{part.get(), 0, count * row_bytes};
    ZT_RETURN_IF_ERROR(upload(from, static_cast<const char*>(weight.data) + first * row_bytes));
    const VulkanKernel kernel({.name = "pack", .dispatches = {packing.dispatch(first, count)}});
    const KernelCall call{
        .kernel = &kernel, .args = {{&from, 1}, {&to, 1}, {}}, .label = "packing a weight"};
    ZT_RETURN_IF_ERROR(run_once(*this, {&call, 1}));
  }
  return packed;
}

Result<std::unique_ptr<Sequence>> VulkanDevice::record(std::span<const KernelCall> calls) {
  ZT_ASSIGN_OR_RETURN(auto sequence, VulkanSequence::record(*context_, *pipelines_, calls));
  return std::unique_ptr<Sequence>(std::move(sequence));
}

Status VulkanDevice::submit(Sequence& sequence) {
  auto& commands = static_cast<VulkanSequence&>(sequence);
  ZT_RETURN_IF_ERROR(transfer_->flush());
  ZT_RETURN_IF_ERROR(context_->submit(commands.command_buffers()).status());
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
