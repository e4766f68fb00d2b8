#include "backends/cuda/device.h"
#include "backends/cuda/kernel.h"

namespace zoetrope::cuda {
namespace {

constexpr BackendModule kModule{
    .name = "cuda",
    .enumerate = enumerate_devices,
    .open = CudaDevice::open,
    .kernel_rows = kernel_rows,
};

}  // namespace
}  // namespace zoetrope::cuda

ZT_EXPORT_BACKEND(zoetrope::cuda::kModule)
