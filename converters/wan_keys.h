// What Wan's projects call the same weights: the graph has the original repository's names.
#pragma once

#include <string>
#include <vector>

#include "converters/families.h"

namespace zoetrope {

// Keys by which a transformer's checkpoint is known.
inline constexpr std::string_view kWanOriginalMark = "time_projection.1.weight";
inline constexpr std::string_view kWanDiffusersMark = "condition_embedder.time_proj.weight";

// Of one checkpoint.
struct WanLayout {
  bool diffusers = false;
  std::string prefix;

  std::string key(const std::string& name) const;
};
Result<WanLayout> find_wan_layout(const Checkpoint& checkpoint);

// A weight's name in every layout: the original's, diffusers', FastVideo's.
std::vector<std::vector<std::string>> wan_key_layouts(const std::string& weight);

}  // namespace zoetrope
