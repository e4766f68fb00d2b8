#include "runtime/plan/weight_stream.h"

namespace zoetrope {

Result<std::unique_ptr<WeightStream>> WeightStream::create(
    const Plan& plan, WeightStore& store, const std::function<Status(int64_t bytes)>& progress) {
  std::unique_ptr<WeightStream> made(new WeightStream(plan, store));
  Device& device = store.device();
  made->slots_.resize(static_cast<size_t>(plan.stream.slots));
  for (Slot& slot : made->slots_) {
    ZT_ASSIGN_OR_RETURN(slot.buffer, device.allocate(plan.stream.slot_bytes));
    ZT_ASSIGN_OR_RETURN(slot.filled, device.create_fence());
    ZT_ASSIGN_OR_RETURN(slot.read, device.create_fence());
  }
  if (device.info().host_memory) return made;
  made->copies_.resize(plan.weights.size());
  for (size_t w = 0; w < plan.weights.size(); ++w) {
    if (!plan.weights[w].streamed) continue;
    // Slots are idle yet: what must be packed on the device is packed in the first.
    ZT_ASSIGN_OR_RETURN(made->copies_[w],
                        store.acquire_copy(plan, plan.weights[w], made->slots_[0].buffer.get()));
    ZT_RETURN_IF_ERROR(progress(plan.weights[w].bytes));
  }
  return made;
}

WeightStream::~WeightStream() {
  for (const Slot& slot : slots_)
    for (const auto& fence : {&slot.filled, &slot.read})
      if (*fence != nullptr) (void)(*fence)->wait();
}

int64_t WeightStream::device_bytes() const {
  int64_t total = 0;
  for (const Slot& slot : slots_) total += slot.buffer->bytes();
  return total;
}

Status WeightStream::submit(int32_t group, Sequence* calls, int32_t next) {
  ZT_RETURN_IF_ERROR(fill(group));
  Slot& slot = slots_[static_cast<size_t>(at(group).slot)];
  if (calls != nullptr) {
    Fence* const filled = slot.filled.get();
    ZT_RETURN_IF_ERROR(device_.submit(*calls, {{&filled, 1}, slot.read.get()}));
  }
  // With one slot, the next group's weights must wait for its turn.
  return next >= 0 && slots_.size() > 1 ? fill(next) : Status();
}

Status WeightStream::fill(int32_t index) {
  const StreamGroup& group = at(index);
  Slot& slot = slots_[static_cast<size_t>(group.slot)];
  if (slot.group == index) return Status();
  slot.group = -1;
  if (copies_.empty()) {
    ZT_RETURN_IF_ERROR(pack_again(group, slot.buffer.get()));
    slot.group = index;
    return Status();
  }
  // In the order of the copies: the first waits for who reads the slot, the last tells.
  Fence* const read = slot.read.get();
  for (size_t i = 0; i < group.weights.size(); ++i) {
    const StreamedWeight& streamed = group.weights[i];
    const auto w = static_cast<size_t>(streamed.weight);
    const int64_t bytes = plan_.weights[w].bytes;
    Order order;
    if (i == 0) order.after = {&read, 1};
    if (i + 1 == group.weights.size()) order.sets = slot.filled.get();
    ZT_RETURN_IF_ERROR(device_.upload_beside({slot.buffer.get(), streamed.offset, bytes},
                                             {copies_[w].get(), 0, bytes}, order));
  }
  slot.group = index;
  return Status();
}

Status WeightStream::pack_again(const StreamGroup& group, Buffer* slot) {
  ZT_RETURN_IF_ERROR(device_.wait());
  for (const StreamedWeight& streamed : group.weights) {
    const PlanWeight& weight = plan_.weights[static_cast<size_t>(streamed.weight)];
    ZT_ASSIGN_OR_RETURN(const WeightData data, load_weight(source_, plan_, weight));
    ZT_RETURN_IF_ERROR(
        fill_weight(device_, plan_, weight, data, {slot, streamed.offset, weight.bytes}));
  }
  return Status();
}

}  // namespace zoetrope
