#include <cstdio>

#include "runtime/backend/devices_json.h"
#include "runtime/cli/command.h"
#include "runtime/plan/planner.h"

namespace zoetrope {
namespace {

struct Options {
  bool json = false;
  DeviceFlags device;
};

void print(const std::string& spec, const DeviceInfo& d) {
  std::printf("%-10s %s%s\n", spec.c_str(), d.name.c_str(),
              d.software ? " (software: only taken when named)" : "");
  std::printf("           memory %s", format_bytes(static_cast<double>(d.memory_bytes)).c_str());
  if (d.flops_f32 > 0) std::printf(", about %s/s in f32", format_flops(d.flops_f32).c_str());
  if (d.flops_bf16 > 0) std::printf(", %s/s in bf16", format_flops(d.flops_bf16).c_str());
  if (d.bytes_per_second > 0) std::printf(", %s/s", format_bytes(d.bytes_per_second).c_str());
  std::string features;
  for (const std::string& feature : d.features) features += " " + feature;
  std::printf("\n           features%s\n", features.empty() ? " none" : features.c_str());
}

Status run_devices(const Options& options) {
  const auto backends =
      list_backends({.threads = options.device.threads, .force_target = options.device.target});
  if (options.json) {
    std::printf("%s\n", devices_to_json(backends).dump(2).c_str());
    return Status();
  }
  const auto not_available = [](const std::string& spec, const std::string& reason) {
    std::printf("%-10s not available: %s\n", spec.c_str(), reason.c_str());
  };
  for (const BackendStatus& backend : backends) {
    if (!backend.status.ok()) not_available(backend.name, backend.status.message());
    for (size_t i = 0; i < backend.devices.size(); ++i) {
      const DeviceInfo& d = backend.devices[i];
      const std::string spec = i == 0 ? backend.name : str(backend.name, ":", i);
      if (d.unusable.empty())
        print(spec, d);
      else
        not_available(spec, d.unusable);
    }
  }
  return Status();
}

}  // namespace

void add_devices(CLI::App* root, Run* run) {
  auto options = std::make_shared<Options>();
  CLI::App* app = root->add_subcommand(
      "devices", "List the devices that can run models, and why the others cannot");
  app->add_flag("--json", options->json, "Print JSON");
  app->add_option("--threads", options->device.threads, "CPU threads, 0 = all allowed");
  app->add_option("--target", options->device.target,
                  "Restrict what a backend uses, as in generate");
  app->callback([=] { *run = [=] { return run_devices(*options); }; });
}

}  // namespace zoetrope
