// The entry point of the shared library.
#include "backends/cpu/device.h"
#include "backends/cpu/kernel.h"
#include "runtime/backend/backend.h"

namespace zoetrope::cpu {
namespace {

Result<std::vector<DeviceInfo>> enumerate(const DeviceOptions& options) {
  ZT_ASSIGN_OR_RETURN(DeviceInfo info, describe_cpu(options));
  return std::vector<DeviceInfo>{std::move(info)};
}

Result<std::unique_ptr<Device>> open(int, const DeviceOptions& options) {
  return open_cpu(options);
}

constexpr BackendModule kModule{
    .name = "cpu",
    .enumerate = enumerate,
    .open = open,
    .kernel_rows = kernel_rows,
};

}  // namespace
}  // namespace zoetrope::cpu

ZT_EXPORT_BACKEND(zoetrope::cpu::kModule)
