// Whether what a recipe's stages name is there: of recipe.cc alone.
#pragma once

#include "graph/format/recipe.h"

namespace zoetrope {

Status check_references(const Recipe& recipe);

}  // namespace zoetrope
