// Every configuration that is built in, by name: shapes of real models for planning and measuring
// before a checkpoint is there. One explicit list.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "graph/dim.h"
#include "graph/format/recipe.h"
#include "graph/graph.h"

namespace zoetrope {

// Components that would come from one checkpoint: their weights' names begin with "<scope>/".
struct BuiltinPart {
  std::string scope;
  std::vector<Graph> components;
};

struct BuiltinModel {
  std::string_view name;    // "wan2.1-1.3b"
  std::string_view family;  // "wan"
  std::string_view description;
  Result<std::vector<BuiltinPart>> (*build)();  // the denoiser first
  Bindings example;                             // the denoiser's symbols for a typical clip
  Recipe (*recipe)() = nullptr;                 // null: components only
};

std::span<const BuiltinModel> builtin_models();
// kNotFound lists the names.
Result<const BuiltinModel*> find_builtin_model(std::string_view name);

// How a weight of a random model begins, so that activations stay finite and of order one.
struct WeightInit {
  enum class Kind { kNormal, kConstant } kind = Kind::kNormal;
  double value = 0;  // standard deviation, or the constant
};
WeightInit initial_weight(const Value& weight);

}  // namespace zoetrope
