// A short prompt as one of the kind that a model was trained on.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "graph/format/recipe.h"
#include "graph/status.h"

namespace zoetrope {

struct ExpandedPrompt {
  std::string prompt;
  std::vector<std::string> left_out;  // words that found no place
};

// By the recipe's own pattern: the prompt's words where its slots know them, else those that the
// seed draws. kUnsupported where the prompt says more than the pattern can (two words for one
// slot): then it says enough as it is.
Result<ExpandedPrompt> expand_by_pattern(const Expansion& expansion, const std::string& prompt,
                                         uint64_t seed);

}  // namespace zoetrope
