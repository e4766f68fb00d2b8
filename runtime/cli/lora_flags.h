// --lora [COMPONENT=]FILE[:STRENGTH]
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "runtime/cli/command.h"
#include "runtime/engine/model.h"
#include "runtime/engine/request_record.h"

namespace zoetrope {

struct LoraFlags {
  std::vector<std::string> files;

  void add_to(CLI::App* app);
  // What the texts say of this model's components; files are not looked at.
  std::vector<AdapterRecord> read(const Model& model) const;
};

// The model's weights with the adapters, in the order given; null without any. Errors name the
// file.
Result<std::shared_ptr<const WeightSource>> open_adapters(
    const Model& model, const std::vector<AdapterRecord>& adapters);

}  // namespace zoetrope
