#include "backends/cuda/cuda.h"

namespace zoetrope::cuda {
namespace {

Code code_of(cudaError_t result) {
  switch (result) {
    case cudaErrorMemoryAllocation: return Code::kResourceExhausted;
    case cudaErrorInvalidValue:
    case cudaErrorInvalidConfiguration: return Code::kInternal;
    default: return Code::kUnavailable;
  }
}

// Errors after which every later call of the process fails.
bool is_sticky(cudaError_t result) {
  switch (result) {
    case cudaErrorIllegalAddress:
    case cudaErrorIllegalInstruction:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorHardwareStackError:
    case cudaErrorLaunchFailure:
    case cudaErrorLaunchTimeout:
    case cudaErrorECCUncorrectable:
    case cudaErrorNvlinkUncorrectable:
    case cudaErrorMpsClientTerminated:
    case cudaErrorExternalDevice:
#if CUDART_VERSION >= 13000
    case cudaErrorContained:
    case cudaErrorTensorMemoryLeak:
#endif
    case cudaErrorAssert: return true;
    default: return false;
  }
}

}  // namespace

Status check(cudaError_t result, std::string_view what) {
  if (result == cudaSuccess) return Status();
  (void)cudaGetLastError();  // else the next call reports it again
  const char* advice = "";
  if (result == cudaErrorMemoryAllocation) advice = "; free memory on the device, or plan for less";
  if (result == cudaErrorNoKernelImageForDevice)
    advice =
        "; this library has no kernels for the device: build with ZOETROPE_CUDA_ARCHITECTURES=ALL";
  if (is_sticky(result)) advice = "; the device is lost to this process: start it again";
  return error(code_of(result), what, ": ", cudaGetErrorString(result), " (",
               cudaGetErrorName(result), ")", advice);
}

Result<DeviceMemory> DeviceMemory::allocate(int64_t bytes) {
  if (bytes < 0) return error(Code::kInvalidArgument, "a buffer of ", bytes, " bytes");
  DeviceMemory memory;
  const cudaError_t result = cudaMalloc(&memory.data_, static_cast<size_t>(bytes > 0 ? bytes : 1));
  std::string what = str("allocating ", bytes, " bytes");
  if (size_t free = 0, total = 0;
      result == cudaErrorMemoryAllocation && cudaMemGetInfo(&free, &total) == cudaSuccess)
    what += str(" on a device that has ", free, " of ", total, " left");
  ZT_RETURN_IF_ERROR(check(result, what));
  memory.bytes_ = bytes;
  return memory;
}

void DeviceMemory::reset() {
  if (data_ != nullptr) (void)cudaFree(data_);
  data_ = nullptr;
  bytes_ = 0;
}

}  // namespace zoetrope::cuda
