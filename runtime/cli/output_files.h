// The files that a command writes, known before it runs: each can be written, none is named twice,
// none is read, and no other process writes it.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "graph/format/output_claim.h"
#include "graph/format/output_target.h"

namespace zoetrope {

class OutputFiles {
 public:
  // Never to be replaced. A path that leads to no file is passed over.
  void read(const std::string& path);
  // `file` is what `flag` and its path stand for: one of a sequence. Empty paths are passed over.
  Status write(const std::string& flag, const std::string& path, const std::string& file);
  Status write(const std::string& flag, const std::string& path) { return write(flag, path, path); }
  // Of all that write() was given.
  Result<OutputClaim> claim() const { return OutputClaim::take(targets_); }

 private:
  std::map<std::string, std::string> taken_;  // identity to what it was given as
  std::vector<OutputTarget> targets_;
};

}  // namespace zoetrope
