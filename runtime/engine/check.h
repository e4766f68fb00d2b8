// Whether a model's components are what its recipe says.
#pragma once

#include "runtime/engine/model.h"
#include "runtime/engine/request.h"
#include "runtime/engine/request_plan.h"

namespace zoetrope {

// Every stage against the signatures of its component, at the smallest and the preferred size.
// Errors name the stage.
Status check_model(const Model& model);
// The same of a model that is not written yet.
Status check_model(const ModelInfo& info);

// The symbols of every component that the recipe runs, at the preferred size.
Result<std::map<std::string, Bindings>> preferred_bindings(const Model& model);

// What a request may give: the service's name of it, and what it is in messages.
struct GivenTask {
  std::string_view name;  // "image", "extend", "anew", ...
  std::string_view what;  // "a first frame (--image)"
};
// All pictures, clips and sound that this recipe takes.
std::vector<GivenTask> given_tasks(const Recipe& recipe);
// The same for messages: "a first frame (--image), ...".
std::string given_media(const Recipe& recipe);

// Whether it looks at every frame of a clip that it makes the sound of.
bool hears_frames(const Recipe& recipe);

// Frames that a request gives as latents of their own.
int64_t count_key_frames(const Recipe& recipe, const KnownMedia& known);
// Pictures at the ends, where the model takes them beside the clip's latents.
int64_t count_end_pictures(const Recipe& recipe, const KnownMedia& known);

// Whether the request asks for something that this model's recipe has: prompts, classes, known
// frames and sound, pictures to start from.
Status check_request(const Recipe& recipe, const Request& request);

// The recipe's denoising with what the request changes.
Result<Denoise> apply_request(const Denoise& recipe, const Request& request);

}  // namespace zoetrope
