// Sequences of picture files, as "frames/%04d.png".
#pragma once

#include <string>
#include <vector>

#include "graph/status.h"

namespace zoetrope {

// The files that the pattern names, from the lowest number on; empty when the path has no pattern
// or is a file as it stands. A missing number is an error that names the file.
Result<std::vector<std::string>> find_frame_sequence(const std::string& path);

}  // namespace zoetrope
