// Options that `generate` and `plan` share.
#pragma once

#include "runtime/cli/command.h"
#include "runtime/pipeline/generate.h"

namespace zoetrope {

struct GenerateFlags {
  GenerateOptions options;
  std::string model;
  std::string compute = "f32";
  std::string memory;
  std::string decode_tile = "auto";
  bool sequential = false;
  DeviceFlags device;

  void add_to(CLI::App* app);
  // Applies the textual flags to `options`; errors name the flag.
  Status finish();
};

// "8GiB", "500M", "1.5g": bytes. Suffixes are powers of 1024.
Result<int64_t> parse_bytes(const std::string& text);

}  // namespace zoetrope
