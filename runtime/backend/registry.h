// Finds backends: one explicit list of names, each a shared library loaded on first use.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/backend/backend.h"

namespace zoetrope {

struct BackendStatus {
  std::string name;
  Status status;                    // why it cannot be used, or OK
  std::vector<DeviceInfo> devices;  // when OK
};

// Every backend that this version knows, present or not, best first.
std::vector<BackendStatus> list_backends(const DeviceOptions& options = {});

// "backend:index" of everything that this machine can compute with, best first: no emulators, and
// not the reference.
std::vector<std::string> usable_devices(const DeviceOptions& options = {});

// The backend's kernel table, present devices or not: BackendModule::kernel_rows.
Result<std::vector<std::string>> kernel_rows(std::string_view backend);

// Which device a name means, as "backend:index": two names of one device give one text.
Result<std::string> resolve_device(std::string_view spec, const DeviceOptions& options = {});

// "cpu", "cuda:1", "vulkan:radeon" (an index, or a part of one device's name), "reference", or
// "auto": the first device that is not software emulating another.
Result<std::unique_ptr<Device>> open_device(std::string_view spec,
                                            const DeviceOptions& options = {});

}  // namespace zoetrope
