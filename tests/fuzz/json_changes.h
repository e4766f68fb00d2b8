// Rewrites JSON so that it stays JSON.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/fuzz/draw.h"

namespace zoetrope {

// One value somewhere becomes another, a list is reordered, a key goes. Texts become `words` or
// others of the document. Says what; "" for nothing.
std::string change_json(Draw& draw, nlohmann::ordered_json* json,
                        const std::vector<std::string>& words);

}  // namespace zoetrope
