// A model file as the pipeline needs it.
#pragma once

#include <memory>

#include "graph/format/model_file.h"
#include "runtime/pipeline/model.h"

namespace zoetrope {

struct LoadedModel {
  std::unique_ptr<ModelFile> file;
  Model model;  // its weights are `file`
};

Result<LoadedModel> load_model(const std::string& path);

}  // namespace zoetrope
