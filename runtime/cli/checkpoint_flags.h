// --checkpoint DIR: states go there as the run proceeds.
#pragma once

#include <string>
#include <vector>

#include "runtime/checkpoint/checkpoint.h"
#include "runtime/cli/generation.h"

namespace zoetrope {

struct CheckpointFlags {
  std::string folder;  // empty: none is kept
  int every = 1, keep = 8;

  void add_to(CLI::App* app);
  // What goes into the folder: with whole paths, so that resume may be called from anywhere.
  // Everything that is read must be a file: a pipe gives its bytes once.
  Result<CheckpointJob> job(const GenerationOptions& options, const std::vector<Clip>& clips,
                            const Model& model) const;
};

// From the root; "-" and other streams stay as they are.
std::string whole_path(const std::string& path);

}  // namespace zoetrope
