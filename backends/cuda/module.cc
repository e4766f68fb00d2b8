#include "backends/cuda/device.h"

namespace zoetrope::cuda {
namespace {

constexpr BackendModule kModule{
    .name = "cuda",
    .enumerate = enumerate_devices,
    .open = CudaDevice::open,
};

}  // namespace
}  // namespace zoetrope::cuda

ZT_EXPORT_BACKEND(zoetrope::cuda::kModule)
