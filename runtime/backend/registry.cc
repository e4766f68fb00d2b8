#include "runtime/backend/registry.h"

#include <dlfcn.h>
#include <sys/resource.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <filesystem>
#include <map>
#include <mutex>

#include "runtime/backend/refused_memory.h"
#include "runtime/library.h"

namespace zoetrope {
namespace {

// Best first: "auto" takes the first with a device. The reference backend is never chosen by
// itself.
constexpr const char* kBackends[] = {"cuda", "vulkan", "cpu", "reference"};

Result<const BackendModule*> load_module(const std::string& name) {
  // Backends lie beside this library.
  const std::filesystem::path path =
      std::filesystem::path(library_folder()) / ("libzoetrope_backend_" + name + ".so");
  std::error_code ec;
  if (!std::filesystem::exists(path, ec))
    return error(Code::kUnavailable, "backend '", name, "' is not part of this installation (no ",
                 path.filename().string(), ")");
  ZT_ASSIGN_OR_RETURN(void* handle, open_library(path, "backend '" + name + "'"));
  using Entry = const BackendModule* (*)();
  const auto entry = reinterpret_cast<Entry>(dlsym(handle, "zoetrope_backend"));
  if (entry == nullptr)
    return error(Code::kUnavailable, path.string(), " does not export zoetrope_backend");
  const BackendModule* module = entry();
  if (module->abi != kBackendAbi)
    return error(Code::kUnavailable, path.string(), " was built for backend contract ", module->abi,
                 "; this program has ", kBackendAbi);
  return module;
}

// Modules stay loaded for the life of the process: devices hold code of theirs.
Result<const BackendModule*> find_module(const std::string& name) {
  static std::mutex mutex;
  static std::map<std::string, Result<const BackendModule*>> modules;
  const std::lock_guard lock(mutex);
  const auto it = modules.find(name);
  if (it != modules.end()) return it->second;
  auto loaded = load_module(name);
  if (loaded.status().code() == Code::kResourceExhausted) return loaded;  // until there is some
  return modules.emplace(name, std::move(loaded)).first->second;
}

// Drivers that lack memory or files to open say "no device", or less. What they take: NVIDIA's some
// 60 files for two devices and over a GiB of addresses, Mesa's 15 and 0.3.
constexpr rlim_t kDriverFiles = 64, kDriverAddresses = rlim_t{2} << 30;

Status with_reason(const Status& said, const RefusalWatch& memory) {
  if (said.code() != Code::kUnavailable && said.code() != Code::kInternal) return said;
  if (memory.refused())
    return error(Code::kResourceExhausted, said.message(), "; memory was refused meanwhile");
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < kDriverFiles)
    return error(Code::kResourceExhausted, said.message(), "; this process may open only ",
                 limit.rlim_cur, " files (ulimit -n), and drivers open up to ", kDriverFiles);
  if (getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur < kDriverAddresses)
    return error(Code::kResourceExhausted, said.message(), "; this process may use only ",
                 limit.rlim_cur >> 20, " MiB of addresses (ulimit -v), and drivers use up to ",
                 kDriverAddresses >> 20);
  return said;
}

Result<std::vector<DeviceInfo>> enumerate(const BackendModule& module,
                                          const DeviceOptions& options) {
  const RefusalWatch memory;
  auto devices = module.enumerate(options);
  if (!devices.ok()) return with_reason(devices.status(), memory);
  return devices;
}

std::string known_backends() {
  std::string text = "auto";
  for (const char* name : kBackends) text += str(", ", name);
  return text;
}

bool contains_ignoring_case(std::string_view text, std::string_view part) {
  const auto same = [](char a, char b) {
    return std::tolower(static_cast<unsigned char>(a)) ==
           std::tolower(static_cast<unsigned char>(b));
  };
  return std::search(text.begin(), text.end(), part.begin(), part.end(), same) != text.end();
}

// `which`: an index, or a part of exactly one device's name.
Result<int> find_device(std::string_view spec, std::string_view which,
                        const std::vector<DeviceInfo>& devices) {
  std::string names;
  for (size_t i = 0; i < devices.size(); ++i)
    names += str(i == 0 ? "" : "; ", i, " ", devices[i].name);
  int index = 0;
  const auto [end, ec] = std::from_chars(which.data(), which.data() + which.size(), index);
  if (ec == std::errc() && end == which.data() + which.size()) {
    if (index >= 0 && static_cast<size_t>(index) < devices.size()) return index;
    return error(Code::kUnavailable, "device '", spec,
                 "': there is no such number; found: ", names.empty() ? "none" : names);
  }
  int found = -1, matches = 0;
  for (size_t i = 0; i < devices.size(); ++i)
    if (!which.empty() && contains_ignoring_case(devices[i].name, which))
      found = static_cast<int>(i), ++matches;
  if (matches == 1) return found;
  return error(Code::kInvalidArgument, "device '", spec, "': expected an index or a part of one ",
               "device's name, and ", matches, " have '", which,
               "'; found: ", names.empty() ? "none" : names);
}

struct FoundDevice {
  const BackendModule* module = nullptr;
  int index = 0;
};

// As open_device documents names.
Result<FoundDevice> find_by_spec(std::string_view spec, const DeviceOptions& options) {
  const size_t colon = spec.find(':');
  const std::string name(spec.substr(0, colon));
  const std::string_view which = colon == std::string_view::npos ? "0" : spec.substr(colon + 1);
  if (name == "auto") {
    Status no_memory;  // what kept a backend away, where that was memory
    for (const char* candidate : kBackends) {
      if (std::string_view(candidate) == "reference") continue;
      auto module = find_module(candidate);
      if (module.status().code() == Code::kResourceExhausted) no_memory = module.status();
      if (!module.ok()) continue;
      auto devices = enumerate(**module, options);
      if (devices.status().code() == Code::kResourceExhausted) no_memory = devices.status();
      if (!devices.ok()) continue;
      for (size_t i = 0; i < devices->size(); ++i)
        if (!(*devices)[i].software && (*devices)[i].unusable.empty())
          return FoundDevice{*module, static_cast<int>(i)};
    }
    ZT_RETURN_IF_ERROR(no_memory);
    return error(Code::kUnavailable,
                 "no backend of this installation has a device; `zoetrope "
                 "devices` says why");
  }
  for (const char* known : kBackends) {
    if (name != known) continue;
    ZT_ASSIGN_OR_RETURN(const BackendModule* module, find_module(name));
    ZT_ASSIGN_OR_RETURN(const auto devices, enumerate(*module, options));
    ZT_ASSIGN_OR_RETURN(const int index, find_device(spec, which, devices));
    return FoundDevice{module, index};
  }
  return error(Code::kInvalidArgument, "unknown device '", spec, "'; known: ", known_backends());
}

}  // namespace

std::vector<BackendStatus> list_backends(const DeviceOptions& options) {
  std::vector<BackendStatus> all;
  for (const char* name : kBackends) {
    BackendStatus entry{name, Status(), {}};
    if (auto module = find_module(name); !module.ok()) {
      entry.status = module.status();
    } else if (auto devices = enumerate(**module, options); !devices.ok()) {
      entry.status = devices.status();
    } else {
      entry.devices = std::move(*devices);
    }
    all.push_back(std::move(entry));
  }
  return all;
}

std::vector<std::string> usable_devices(const DeviceOptions& options) {
  std::vector<std::string> names;
  for (const BackendStatus& backend : list_backends(options)) {
    if (backend.name == "reference") continue;
    for (size_t i = 0; i < backend.devices.size(); ++i)
      if (!backend.devices[i].software && backend.devices[i].unusable.empty())
        names.push_back(str(backend.name, ":", i));
  }
  return names;
}

Result<std::vector<std::string>> kernel_rows(std::string_view backend) {
  ZT_ASSIGN_OR_RETURN(const BackendModule* const module, find_module(std::string(backend)));
  return module->kernel_rows();
}

Result<std::string> resolve_device(std::string_view spec, const DeviceOptions& options) {
  ZT_ASSIGN_OR_RETURN(const FoundDevice found, find_by_spec(spec, options));
  return str(found.module->name, ":", found.index);
}

Result<std::unique_ptr<Device>> open_device(std::string_view spec, const DeviceOptions& options) {
  ZT_ASSIGN_OR_RETURN(const FoundDevice found, find_by_spec(spec, options));
  const RefusalWatch memory;
  auto device = found.module->open(found.index, options);
  if (!device.ok()) return with_reason(device.status(), memory);
  return device;
}

}  // namespace zoetrope
