// What a folder holds. The standard library's iterators end the process where they get no memory.
#pragma once

#include <string>
#include <vector>

#include "graph/status.h"

namespace zoetrope {

// Names, sorted, but for "." and "..".
Result<std::vector<std::string>> list_folder(const std::string& path);

}  // namespace zoetrope
