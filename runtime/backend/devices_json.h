// Devices as programs hear of them: the command's and the C interface's JSON.
#pragma once

#include <nlohmann/json.hpp>
#include <vector>

#include "runtime/backend/registry.h"

namespace zoetrope {

// One entry a device, and one for each backend without any: "backend", "available", and either what
// the device is or the "reason".
nlohmann::json devices_to_json(const std::vector<BackendStatus>& backends);

}  // namespace zoetrope
