// Options that `generate` and `plan` share: what is asked for, and where it runs.
#pragma once

#include "runtime/cli/command.h"
#include "runtime/cli/lora_flags.h"
#include "runtime/engine/engine.h"

namespace zoetrope {

struct GenerateFlags {
  Request request;
  std::string model;
  std::string compute = "f32";
  std::string memory;
  std::string decode_tile = "auto";
  std::string place;
  bool sequential = false, no_fusion = false;
  LoraFlags lora;
  std::vector<AdapterRecord> adapters;  // those of `lora` once the model is open, or a record's
  DeviceFlags device;

  void add_to(CLI::App* app);
  // Applies the textual flags to `request`; errors name the flag.
  Status finish();
  // The model, opened for one request or for several; adapters go into the request. For planning a
  // built-in model's name will do.
  Result<std::unique_ptr<Engine>> open_engine(bool keep_sessions, bool for_planning = false);
  Result<Placement> placement() const { return parse_placement(place, device.device); }
};

// "8GiB", "500M", "1.5g": bytes. Suffixes are powers of 1024.
Result<int64_t> parse_bytes(const std::string& text);

}  // namespace zoetrope
