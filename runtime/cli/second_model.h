// What a model that goes on from the clip of another is opened with, and what it is told of that.
#pragma once

#include <string>

#include "runtime/cli/generate_flags.h"

namespace zoetrope {

// The flags that are the first model's as well.
GenerateFlags flags_of_second(const std::string& model, const GenerateFlags& first);

// A clip of the first model's, or of the one before.
struct FirstClip {
  int64_t width = 0, height = 0, frames = 0;
  int fps = 1;
  std::string prompt;
  uint64_t seed = 0;
};

}  // namespace zoetrope
