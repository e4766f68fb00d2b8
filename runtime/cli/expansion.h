// --expand: short prompts as those that the model was trained on.
#pragma once

#include <functional>
#include <string>

#include "graph/format/recipe.h"

namespace zoetrope {

// By the recipe's own pattern where it has one, else by the language model that the environment
// names: ZOETROPE_LLM_URL, the base of an OpenAI-compatible interface such as
// http://localhost:8080/v1, with ZOETROPE_LLM_KEY and ZOETROPE_LLM_MODEL where it asks for them.
// Nothing is sent anywhere without that variable. `notice` hears what a person should know. Errors
// say what to set, or what the endpoint answered; it has a minute.
Result<std::string> expand_prompt(const Recipe& recipe, const std::string& prompt, uint64_t seed,
                                  const std::function<void(const std::string&)>& notice);

}  // namespace zoetrope
