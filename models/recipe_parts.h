// Parts that recipes of several families share. Components are meant whose inputs and outputs have
// the names that most builders here give them; a caller changes what is different in its own.
#pragma once

#include <initializer_list>
#include <string>
#include <vector>

#include "graph/format/recipe.h"

namespace zoetrope::recipe_parts {

// With a mean and a deviation for each channel, or the same ones for all.
LatentSpec latents(const char* name, Modality media, std::vector<float> mean,
                   std::vector<float> deviation, int64_t channels);
LatentSpec latents(const char* name, Modality media, double mean, double deviation,
                   int64_t channels);

// "ids", "lengths" → "text"
EncodeText encode_text(const std::string& component, const std::string& gives, int64_t max_ids);
// Of T5's family: texts end with id 1 and rows are filled with 0, whose features become 0.
EncodeText encode_t5_text(const std::string& component, const std::string& gives, int64_t max_ids);

// `latents` → "mean", given as "<prefix>known" and "<prefix>known_mask".
KnownLatents known_latents(const std::string& latents, const std::string& component,
                           const std::string& prefix = "");

// "dit": "time" and each of `latents` → "<latents>_velocity". Values go to inputs of their names.
Denoise denoise(std::initializer_list<std::string> latents,
                std::initializer_list<std::string> values);
void add_conditions(Denoise* stage, std::initializer_list<std::string> values);

// "latents" → `latents`
template <typename Kind>
Kind decode(const char* latents, const char* component) {
  Kind s;
  s.latents = s.output = latents;
  s.component = component;
  s.input = "latents";
  return s;
}

}  // namespace zoetrope::recipe_parts
