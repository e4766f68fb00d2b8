#include "backends/cuda/transfer.h"

#include <algorithm>
#include <cstring>

namespace zoetrope::cuda {

Result<std::unique_ptr<Transfer>> Transfer::create() {
  std::unique_ptr<Transfer> made(new Transfer);
  ZT_RETURN_IF_ERROR(check(cudaStreamCreateWithFlags(&made->stream_, cudaStreamNonBlocking),
                           "creating a stream for copies"));
  ZT_RETURN_IF_ERROR(
      check(cudaEventCreateWithFlags(&made->copied_, cudaEventDisableTiming), "creating an event"));
  for (Slot& slot : made->slots_) {
    void* memory = nullptr;
    ZT_RETURN_IF_ERROR(check(cudaMallocHost(&memory, kSlotBytes), "allocating pinned memory"));
    slot.memory = static_cast<char*>(memory);
    ZT_RETURN_IF_ERROR(
        check(cudaEventCreateWithFlags(&slot.done, cudaEventDisableTiming), "creating an event"));
  }
  return made;
}

Transfer::~Transfer() {
  if (stream_ != nullptr) {
    (void)cudaStreamSynchronize(stream_);
    (void)cudaStreamDestroy(stream_);
  }
  if (copied_ != nullptr) (void)cudaEventDestroy(copied_);
  for (Slot& slot : slots_) {
    if (slot.done != nullptr) (void)cudaEventDestroy(slot.done);
    if (slot.memory != nullptr) (void)cudaFreeHost(slot.memory);
  }
}

Result<Transfer::Slot*> Transfer::next_slot() {
  current_ = (current_ + 1) % slots_.size();
  Slot& slot = slots_[current_];
  ZT_RETURN_IF_ERROR(check(cudaEventSynchronize(slot.done), "waiting for an upload"));
  return &slot;
}

Status Transfer::upload(char* dst, const void* src, int64_t bytes) {
  pending_.add(dst, bytes);
  for (int64_t done = 0; done < bytes; done += kSlotBytes) {
    ZT_ASSIGN_OR_RETURN(Slot* const slot, next_slot());
    const auto part = static_cast<size_t>(std::min(bytes - done, kSlotBytes));
    std::memcpy(slot->memory, static_cast<const char*>(src) + done, part);
    ZT_RETURN_IF_ERROR(
        check(cudaMemcpyAsync(dst + done, slot->memory, part, cudaMemcpyHostToDevice, stream_),
              "uploading"));
    ZT_RETURN_IF_ERROR(check(cudaEventRecord(slot->done, stream_), "uploading"));
  }
  return Status();
}

Status Transfer::copy(char* dst, const char* src, int64_t bytes) {
  pending_.add(dst, bytes);
  pending_.add(src, bytes);
  return check(
      cudaMemcpyAsync(dst, src, static_cast<size_t>(bytes), cudaMemcpyDeviceToDevice, stream_),
      "copying on the device");
}

Status Transfer::download(void* dst, const char* src, int64_t bytes) {
  // Two slots: one is filled while the other is emptied.
  struct Part {
    Slot* slot;
    char* to;
    size_t bytes;
  };
  std::vector<Part> open;
  const auto finish_first = [&] {
    const Part part = open.front();
    open.erase(open.begin());
    ZT_RETURN_IF_ERROR(check(cudaEventSynchronize(part.slot->done), "downloading"));
    std::memcpy(part.to, part.slot->memory, part.bytes);
    return Status();
  };
  for (int64_t done = 0; done < bytes; done += kSlotBytes) {
    if (open.size() == 2) ZT_RETURN_IF_ERROR(finish_first());
    ZT_ASSIGN_OR_RETURN(Slot* const slot, next_slot());
    const auto part = static_cast<size_t>(std::min(bytes - done, kSlotBytes));
    ZT_RETURN_IF_ERROR(
        check(cudaMemcpyAsync(slot->memory, src + done, part, cudaMemcpyDeviceToHost, stream_),
              "downloading"));
    ZT_RETURN_IF_ERROR(check(cudaEventRecord(slot->done, stream_), "downloading"));
    open.push_back({slot, static_cast<char*>(dst) + done, part});
  }
  while (!open.empty()) ZT_RETURN_IF_ERROR(finish_first());
  return Status();
}

Status Transfer::wait() {
  ZT_RETURN_IF_ERROR(check(cudaStreamSynchronize(stream_), "waiting for copies"));
  pending_.clear();
  return Status();
}

Status Transfer::wait_for(cudaEvent_t event) {
  return check(cudaStreamWaitEvent(stream_, event, 0), "ordering copies");
}

Status Transfer::order_before(cudaStream_t stream, const Ranges& ranges) {
  if (!pending_.overlap(ranges)) return Status();
  ZT_RETURN_IF_ERROR(check(cudaEventRecord(copied_, stream_), "ordering copies"));
  return check(cudaStreamWaitEvent(stream, copied_, 0), "ordering copies");
}

}  // namespace zoetrope::cuda
