// Kernels that are set up while the one before them ends (programmatic dependent launch, compute
// capability 9.0 and later; elsewhere an ordinary launch).
#pragma once

#include <cuda_runtime_api.h>

namespace zoetrope::cuda {

// What such a kernel calls first in every thread: until then memory may still be written, or read,
// by earlier kernels. That every kernel ends after the one before it rests on it, too.
__device__ inline void wait_for_earlier() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

// Lets the next kernel be set up now, if it is one of these: for the first of several that belong
// together, when their blocks leave room beside its own.
__device__ inline void launch_next() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

struct LaunchShape {
  unsigned blocks, threads;
  size_t shared_bytes = 0;
  unsigned cluster = 1;  // blocks
};

template <typename... Params>
cudaError_t launch_early(void (*kernel)(Params...), const LaunchShape& shape, cudaStream_t stream,
                         const Params&... params) {
  int device = 0, major = 0;
  cudaError_t result = cudaGetDevice(&device);
  if (result == cudaSuccess)
    result = cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device);
  if (result != cudaSuccess) return result;
  cudaLaunchAttribute attributes[2] = {};
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(shape.blocks);
  config.blockDim = dim3(shape.threads);
  config.dynamicSmemBytes = shape.shared_bytes;
  config.stream = stream;
  config.attrs = attributes;
  if (major >= 9) {
    attributes[config.numAttrs].id = cudaLaunchAttributeProgrammaticStreamSerialization;
    attributes[config.numAttrs++].val.programmaticStreamSerializationAllowed = 1;
  }
  if (shape.cluster > 1) {
    attributes[config.numAttrs].id = cudaLaunchAttributeClusterDimension;
    attributes[config.numAttrs++].val.clusterDim = {shape.cluster, 1, 1};
  }
  return cudaLaunchKernelEx(&config, kernel, params...);
}

}  // namespace zoetrope::cuda
