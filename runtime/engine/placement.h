// What runs where: plain data, from a text such as
// "text=cpu,denoise=cuda:0+vulkan:0,decode=vulkan:1".
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "graph/format/recipe.h"

namespace zoetrope {

struct Placement {
  // Takes every usable device and puts each component where its plan says it is done soonest and
  // fits; entries below still win.
  bool automatic = false;
  // Of everything that no entry names.
  std::string device = "auto";
  // A component's name, a stage's kind, or "text", "encode", "denoise", "decode" for kinds that
  // begin or end so; and one device, or two for the two halves of a guided step.
  std::vector<std::pair<std::string, std::vector<std::string>>> entries;
};

// "auto" or entries between commas. Errors say which part is wrong.
Result<Placement> parse_placement(std::string_view text, std::string_view device);

// Where a stage's component runs: one device, or two where it is the denoiser of a guided step. A
// component's name is stronger than a kind, a kind stronger than a group of kinds.
const std::vector<std::string>* find_placement(const Placement& placement, std::string_view kind,
                                               std::string_view component);

// An entry that names nothing of this recipe is an error that lists what there is; so are two
// devices for what has no halves.
Status check_placement(const Placement& placement, const Recipe& recipe);

}  // namespace zoetrope
