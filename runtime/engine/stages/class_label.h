// Classes by number or name.
#pragma once

#include <string_view>

#include "graph/format/recipe.h"

namespace zoetrope {

// A number from 0, or one of a class's names, whatever its case. Errors say what there is: names
// that hold the text, or how many classes.
Result<int32_t> find_class(const ClassLabel& labels, std::string_view text);

}  // namespace zoetrope
