// Copies between host and device and within the device, in order with the kernels that touch the
// same bytes and beside all others.
#pragma once

#include <array>
#include <memory>

#include "backends/cuda/cuda.h"
#include "backends/cuda/ranges.h"
#include "runtime/backend/backend.h"

namespace zoetrope::cuda {

// Uploads return once the data lies in a pinned slot; the copy engine works beside the kernels.
class Transfer {
 public:
  static Result<std::unique_ptr<Transfer>> create();
  ~Transfer();

  Status upload(char* dst, const void* src, int64_t bytes);
  Status copy(char* dst, const char* src, int64_t bytes);
  // Waits for everything before it on this stream.
  Status download(void* dst, const char* src, int64_t bytes);
  Status wait();

  // Copies from here on come after `event`.
  Status wait_for(cudaEvent_t event);
  // Makes `stream` wait for the copies not yet known to be done that touch `ranges`.
  Status order_before(cudaStream_t stream, const Ranges& ranges);

 private:
  static constexpr int64_t kSlotBytes = int64_t{8} << 20;
  struct Slot {
    char* memory = nullptr;
    cudaEvent_t done = nullptr;
  };

  Transfer() = default;
  Result<Slot*> next_slot();

  cudaStream_t stream_ = nullptr;
  cudaEvent_t copied_ = nullptr;
  std::array<Slot, 4> slots_;
  size_t current_ = 0;
  Ranges pending_;  // written by copies since the last wait()
};

}  // namespace zoetrope::cuda
