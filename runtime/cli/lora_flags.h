// --lora [COMPONENT=]FILE[:STRENGTH]
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "runtime/cli/command.h"
#include "runtime/engine/model.h"

namespace zoetrope {

struct LoraFlags {
  std::vector<std::string> files;

  void add_to(CLI::App* app);
  // The model's weights with the adapters, in the order given; null without any. Errors name the
  // file.
  Result<std::shared_ptr<const WeightSource>> open(const Model& model) const;
};

}  // namespace zoetrope
