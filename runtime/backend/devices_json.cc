#include "runtime/backend/devices_json.h"

namespace zoetrope {

nlohmann::json devices_to_json(const std::vector<BackendStatus>& backends) {
  nlohmann::json list = nlohmann::json::array();
  for (const BackendStatus& backend : backends) {
    if (!backend.status.ok())
      list.push_back(
          {{"backend", backend.name}, {"available", false}, {"reason", backend.status.message()}});
    for (size_t i = 0; i < backend.devices.size(); ++i) {
      const DeviceInfo& d = backend.devices[i];
      nlohmann::json entry = {{"backend", backend.name},
                              {"available", d.unusable.empty()},
                              {"index", i},
                              {"name", d.name},
                              {"memory_bytes", d.memory_bytes},
                              {"features", d.features},
                              {"software", d.software},
                              {"flops_f32", d.flops_f32},
                              {"flops_bf16", d.flops_bf16},
                              {"bytes_per_second", d.bytes_per_second}};
      if (!d.unusable.empty()) entry["reason"] = d.unusable;
      list.push_back(std::move(entry));
    }
  }
  return list;
}

}  // namespace zoetrope
