// Built-in models without a file: enough to plan with, as planning reads no weights.
#pragma once

#include <string_view>

#include "graph/dtype.h"
#include "runtime/engine/model.h"

namespace zoetrope {

// Weights are of `storage`; reading one is an error that says how to make a file. kNotFound lists
// the names, and kUnsupported says which have no recipe.
Result<Model> builtin_model(std::string_view name, DType storage = DType::kBF16);

}  // namespace zoetrope
