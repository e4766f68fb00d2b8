// Looking for stages of one kind in a recipe.
#pragma once

#include "graph/format/recipe.h"

namespace zoetrope {

// The first one; null where there is none.
template <typename S>
const S* find_stage(const Recipe& recipe) {
  for (const Stage& stage : recipe.stages)
    if (const S* found = std::get_if<S>(&stage)) return found;
  return nullptr;
}

}  // namespace zoetrope
