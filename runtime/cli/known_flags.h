// Flags that name pictures, clips and sound which a person gives.
#pragma once

#include <CLI/CLI.hpp>
#include <set>
#include <string>
#include <vector>

#include "graph/status.h"

namespace zoetrope {

// --keyframe T=FILE or T,STRENGTH=FILE.
struct KeyFrameFlag {
  double seconds = 0, strength = 1;
  std::string path;
};
Result<KeyFrameFlag> parse_keyframe(const std::string& text);

struct KnownFlags {
  std::string image, last_image, extend, lead_to, video, audio;
  std::vector<KeyFrameFlag> keyframes;
  std::vector<std::string> references;
  std::string fit = "cover", background = "white";
  double strength = 0;         // 0: not given
  std::set<std::string> said;  // of "--fit" and "--background", also with what holds anyway

  void add_to(CLI::App* app);
  bool any() const;
  bool any_picture() const;  // a clip counts, sound does not
  // Every file that is read.
  std::vector<std::string> paths() const;
};

}  // namespace zoetrope
