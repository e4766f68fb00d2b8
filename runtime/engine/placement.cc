#include "runtime/engine/placement.h"

#include <algorithm>
#include <set>

namespace zoetrope {
namespace {

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(separator, begin), text.size());
    parts.emplace_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

// "text" of encode_text, "decode" of decode_video, "encode" of whatever reads media.
bool in_group(std::string_view group, std::string_view kind) {
  if (group == "text") return kind == "encode_text";
  if (group == "encode")
    return kind == "known_latents" || kind == "start_picture" || kind == "image_features" ||
           kind == "frame_features" || kind == "source_clip" || kind == "reference_features";
  if (group == "denoise") return kind == "denoise";
  return group == "decode" && kind.starts_with("decode_");
}

std::vector<std::string> components_of(const Stage& stage) {
  return std::visit(
      [](const auto& s) -> std::vector<std::string> {
        std::vector<std::string> all;
        if constexpr (requires { s.component; }) all.push_back(s.component);
        if constexpr (requires { s.experts; })
          for (const auto& expert : s.experts) all.push_back(expert.component);
        if constexpr (requires { s.keyed; })
          if (s.keyed) all.push_back(s.keyed->component);
        return all;
      },
      stage);
}

bool denoises(const Denoise* denoise, const std::string& name) {
  if (denoise != nullptr && denoise->keyed && name == denoise->keyed->component) return true;
  for (size_t i = 0; denoise != nullptr && i < denoise->networks(); ++i)
    if (name == "denoise" || name == denoise->network(i)) return true;
  return false;
}

}  // namespace

Result<Placement> parse_placement(std::string_view text, std::string_view device) {
  Placement placement;
  placement.device = device;
  if (text.empty()) return placement;
  for (const std::string& part : split(text, ',')) {
    if (part == "auto") {
      placement.automatic = true;
      continue;
    }
    const size_t equals = part.find('=');
    const auto devices = split(equals == std::string::npos ? "" : part.substr(equals + 1), '+');
    if (equals == 0 || equals == std::string::npos || devices.size() > 2 ||
        std::any_of(devices.begin(), devices.end(), [](const auto& d) { return d.empty(); }))
      return error(Code::kInvalidArgument, "placement '", part,
                   "': expected auto, PART=DEVICE, or PART=DEVICE+DEVICE for the halves of a "
                   "guided step");
    if (devices.size() == 2 && devices[0] == devices[1])
      return error(Code::kInvalidArgument, "placement '", part,
                   "': two halves take two different devices");
    const std::string name = part.substr(0, equals);
    for (const auto& [other, unused] : placement.entries)
      if (other == name) return error(Code::kInvalidArgument, "placement: '", name, "' twice");
    placement.entries.emplace_back(name, devices);
  }
  return placement;
}

const std::vector<std::string>* find_placement(const Placement& placement, std::string_view kind,
                                               std::string_view component) {
  const std::vector<std::string>*by_kind = nullptr, *by_group = nullptr;
  for (const auto& [name, devices] : placement.entries) {
    if (name == component) return &devices;
    if (name == kind) by_kind = &devices;
    if (in_group(name, kind)) by_group = &devices;
  }
  return by_kind != nullptr ? by_kind : by_group;
}

Status check_placement(const Placement& placement, const Recipe& recipe) {
  std::set<std::string> known;
  for (const Stage& stage : recipe.stages) {
    const std::vector<std::string> components = components_of(stage);
    if (components.empty()) continue;
    known.insert(components.begin(), components.end());
    known.emplace(stage_kind(stage));
    for (const char* group : {"text", "encode", "denoise", "decode"})
      if (in_group(group, stage_kind(stage))) known.insert(group);
  }
  std::string names;
  for (const std::string& name : known) names += (names.empty() ? "" : ", ") + name;
  const Denoise* denoise = recipe.denoise();
  for (const auto& [name, devices] : placement.entries) {
    if (!known.contains(name))
      return error(Code::kInvalidArgument, "placement: this model has no '", name, "'; it has ",
                   names);
    if (devices.size() == 2 && !denoises(denoise, name))
      return error(Code::kInvalidArgument, "placement: '", name,
                   "' has no halves to put on two devices; 'denoise' has");
  }
  return Status();
}

}  // namespace zoetrope
