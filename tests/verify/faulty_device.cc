#include "tests/verify/faulty_device.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace zoetrope {
namespace {

constexpr int64_t kScratch = 256;  // bytes of workspace that Fault::kUnwritten reads

float* floats(const BufferView& view) {
  return reinterpret_cast<float*>(static_cast<char*>(view.buffer->host_data()) + view.offset);
}
size_t count(const BufferView& view) { return static_cast<size_t>(view.bytes) / sizeof(float); }

// The width of the last dimension, from the label's first type: "...(f32[2, 12, 64], ...)". What a
// row is matters to two faults alone.
size_t width_of(const char* label) {
  const char* open = std::strchr(label, '[');
  const char* close = open ? std::strchr(open, ']') : nullptr;
  if (close == nullptr) return 1;
  const std::string dims(open + 1, close);
  const size_t comma = dims.rfind(',');
  return static_cast<size_t>(
      std::stoul(comma == std::string::npos ? dims : dims.substr(comma + 1)));
}

}  // namespace

FaultyDevice::FaultyDevice(std::unique_ptr<Device> inner, Fault fault, std::string where,
                           std::string victim)
    : ForwardingDevice(std::move(inner)),
      fault_(fault),
      where_(std::move(where)),
      victim_name_(std::move(victim)) {
  info_.host_memory = false;  // as a GPU's, so that weights are packed and streamed by copies
  info_.name = "faulty";
}

Status FaultyDevice::upload_beside(BufferView dst, BufferView src, const Order& order) {
  // The first copy over what another one had brought.
  const auto [held, fresh] = slots_.try_emplace({dst.buffer, dst.offset}, src.buffer);
  const bool replaces = !fresh && held->second != src.buffer && src.bytes > 0;
  held->second = src.buffer;
  if (fault_ != Fault::kStaleSlot || !replaces || !broken_.empty())
    return inner_->upload_beside(dst, src, order);
  broken_ = "a copy into a slot";
  return inner_->upload_beside({dst.buffer, dst.offset, 0}, {src.buffer, src.offset, 0}, order);
}

Result<KernelInfo> FaultyDevice::query_kernel(const KernelRequest& request) {
  ZT_ASSIGN_OR_RETURN(KernelInfo info, inner_->query_kernel(request));
  if (fault_ == Fault::kUnwritten) info.workspace_bytes += kScratch;
  return info;
}

Status FaultyDevice::pack(const KernelRequest& request, const PackedInput& packed,
                          const HostTensor& tensor, BufferView to) {
  ZT_RETURN_IF_ERROR(inner_->pack(request, packed, tensor, to));
  if (fault_ != Fault::kWeightBit || !broken_.empty() ||
      request.node->name.find(where_) == std::string::npos)
    return Status();
  broken_ = request.node->name;
  auto* bytes = static_cast<uint8_t*>(to.buffer->host_data()) + to.offset;
  bytes[3] ^= 0x10;  // of an f32's exponent
  return Status();
}

bool FaultyDevice::is_target(const KernelCall& call) {
  if (fault_ == Fault::kStaleSlot || fault_ == Fault::kWeightBit) return false;
  if (broken_.empty() && std::string(call.label).find(where_) != std::string::npos)
    broken_ = call.label;
  return broken_ == call.label;
}

Status FaultyDevice::run(const KernelCall& call) {
  KernelCall inner = call;
  if (fault_ == Fault::kUnwritten && inner.args.workspace.bytes > 0)
    inner.args.workspace.bytes -= kScratch;
  if (inner.args.workspace.bytes == 0) inner.args.workspace = {};
  return run_once(*inner_, std::span(&inner, 1));
}

Status FaultyDevice::submit(Sequence& sequence, const Order& order) {
  for (Fence* fence : order.after) ZT_RETURN_IF_ERROR(fence->wait());
  for (const KernelCall& call : static_cast<const CallList&>(sequence).calls) {
    ZT_RETURN_IF_ERROR(is_target(call) ? run_broken(call) : run(call));
    if (!victim_name_.empty() && std::string(call.label).find(victim_name_) != std::string::npos)
      victim_ = call.args.outputs[0];
  }
  return Status();
}

Status FaultyDevice::run_broken(const KernelCall& call) {
  const BufferView& out = call.args.outputs[0];
  float* const y = floats(out);
  const size_t n = count(out), width = width_of(call.label);
  if (fault_ == Fault::kMaskEdge) {  // key_lengths are one too short
    const BufferView& lengths = call.args.inputs[3];
    auto* const keys = reinterpret_cast<int32_t*>(floats(lengths));
    const std::vector<int32_t> before(keys, keys + lengths.bytes / 4);
    for (size_t i = 0; i < before.size(); ++i) keys[i] = std::max(before[i] - 1, 1);
    const Status status = run(call);
    std::copy(before.begin(), before.end(), keys);
    return status;
  }
  const float last = y[n - 1];
  ZT_RETURN_IF_ERROR(run(call));
  switch (fault_) {
    case Fault::kScaled:
      for (size_t i = 0; i < n; ++i) y[i] *= 1.01f;
      break;
    case Fault::kTile:
      for (size_t row = 0; row < 8 && (row + 1) * width <= n; ++row)
        for (size_t column = 8; column < 16 && column < width; ++column)
          y[row * width + column] += 0.5f;
      break;
    case Fault::kSwappedRows: std::swap_ranges(y, y + width, y + width); break;
    case Fault::kLostLast: y[n - 1] = last; break;
    case Fault::kOverflow: {
      float most = 0;
      for (size_t i = 0; i < n; ++i) most = std::max(most, std::fabs(y[i]));
      for (size_t i = 0; i < n; ++i)
        if (std::fabs(y[i]) > most / 2) y[i] = std::copysign(INFINITY, y[i]);
      break;
    }
    case Fault::kUnwritten: {
      const BufferView& scratch = call.args.workspace;
      float old = 0;
      std::memcpy(&old, reinterpret_cast<char*>(floats(scratch)) + scratch.bytes - kScratch, 4);
      if (old > 1) y[0] = old;  // NaN compares false: the garbage that shows is the other one
      break;
    }
    case Fault::kNotDeterministic:
      y[n / 2] = std::nextafter(y[n / 2], ++runs_ % 2 == 0 ? 1e30f : -1e30f);
      break;
    case Fault::kOverwrites:
      if (victim_.buffer != nullptr) floats(victim_)[0] = 3;
      break;
    case Fault::kChangesInput: floats(call.args.inputs[0])[0] += 1; break;
    default: break;
  }
  return Status();
}

}  // namespace zoetrope
