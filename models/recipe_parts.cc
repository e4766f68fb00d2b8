#include "models/recipe_parts.h"

#include <utility>

namespace zoetrope::recipe_parts {

LatentSpec latents(const char* name, Modality media, std::vector<float> mean,
                   std::vector<float> deviation, int64_t channels) {
  LatentSpec s;
  s.name = name;
  s.media = media;
  s.channels = static_cast<int>(channels);
  s.mean = std::move(mean);
  s.std = std::move(deviation);
  return s;
}

LatentSpec latents(const char* name, Modality media, double mean, double deviation,
                   int64_t channels) {
  const auto all = [&](double value) {
    return std::vector<float>(static_cast<size_t>(channels), static_cast<float>(value));
  };
  return latents(name, media, all(mean), all(deviation), channels);
}

EncodeText encode_text(const std::string& component, const std::string& gives, int64_t max_ids) {
  EncodeText s;
  s.component = component;
  s.ids = "ids";
  s.lengths = "lengths";
  s.output = "text";
  s.gives = gives;
  s.max_ids = static_cast<int>(max_ids);
  return s;
}

EncodeText encode_t5_text(const std::string& component, const std::string& gives, int64_t max_ids) {
  EncodeText s = encode_text(component, gives, max_ids);
  s.eos = 1;
  s.pad = 0;
  s.zero_padding = true;
  return s;
}

KnownLatents known_latents(const std::string& latents, const std::string& component,
                           const std::string& prefix) {
  KnownLatents s;
  s.latents = s.input = latents;
  s.component = component;
  s.output = "mean";
  s.gives = prefix + "known";
  s.gives_mask = prefix + "known_mask";
  return s;
}

Denoise denoise(std::initializer_list<std::string> latents,
                std::initializer_list<std::string> values) {
  Denoise s;
  s.component = "dit";
  s.time = "time";
  for (const std::string& name : latents) s.streams.push_back({name, name, name + "_velocity"});
  add_conditions(&s, values);
  return s;
}

void add_conditions(Denoise* stage, std::initializer_list<std::string> values) {
  for (const std::string& name : values) stage->conditions.push_back({name, name});
}

}  // namespace zoetrope::recipe_parts
