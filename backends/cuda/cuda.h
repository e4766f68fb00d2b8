// The CUDA runtime, and its errors as ours.
#pragma once

#include <cuda_runtime_api.h>

#include "graph/status.h"

namespace zoetrope::cuda {

// OK, or an error that says what was tried, what CUDA answered and what to do about it.
Status check(cudaError_t result, std::string_view what);

// Device memory of our own. Freed when it goes.
class DeviceMemory {
 public:
  static Result<DeviceMemory> allocate(int64_t bytes);
  DeviceMemory() = default;
  ~DeviceMemory() { reset(); }
  DeviceMemory(DeviceMemory&& other) noexcept { *this = std::move(other); }
  DeviceMemory& operator=(DeviceMemory&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }

  char* data() const { return static_cast<char*>(data_); }
  int64_t bytes() const { return bytes_; }
  void reset();

 private:
  void* data_ = nullptr;
  int64_t bytes_ = 0;
};

}  // namespace zoetrope::cuda
