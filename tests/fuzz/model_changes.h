// Rewrites what a model file holds beside graphs, and what is asked of it.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "tests/fuzz/draw.h"
#include "tests/hostile/tiny_models.h"

namespace zoetrope {

// A model on its way to a lie: the recipe is the text in `info`. Each says what it changed; "" for
// nothing.
std::string change_recipe(Draw& draw, TinyModel* model);
std::string change_tensors(Draw& draw, TinyModel* model);
std::string change_components(Draw& draw, TinyModel* model);

// Something that the model takes, or nearly.
Request draw_request(Draw& draw, const Recipe& recipe);

}  // namespace zoetrope
