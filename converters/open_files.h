// Files of weights that a model is put together from, and what nothing has asked for of each.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "converters/checkpoint.h"
#include "converters/scaled.h"
#include "converters/weight_map.h"

namespace zoetrope {

struct OpenFile {
  std::unique_ptr<Checkpoint> stored, scaled;
  const Checkpoint* checkpoint = nullptr;
  std::set<std::string> left;  // tensors
};

class OpenFiles {
 public:
  // Of one that is open, by others too.
  OpenFile& note(const Checkpoint& checkpoint) {
    for (const auto& file : files_)
      if (file->checkpoint == &checkpoint) return *file;
    auto file = std::make_unique<OpenFile>();
    file->checkpoint = &checkpoint;
    file->left = {checkpoint.names().begin(), checkpoint.names().end()};
    files_.push_back(std::move(file));
    return *files_.back();
  }
  // A folder's or file's weights, with 8-bit ones and their scales multiplied.
  Result<const Checkpoint*> open(const std::string& path) {
    ZT_ASSIGN_OR_RETURN(auto stored, open_checkpoint(path));
    ZT_ASSIGN_OR_RETURN(auto scaled, apply_scales(*stored));
    OpenFile& file = note(scaled ? *scaled : *stored);
    file.stored = std::move(stored);
    file.scaled = std::move(scaled);
    return file.checkpoint;
  }
  // Those that the map reads.
  void take(const Checkpoint& checkpoint, const WeightMap& map) {
    OpenFile& file = note(checkpoint);
    for (const std::string& key : map.used()) file.left.erase(key);
  }
  const std::vector<std::unique_ptr<OpenFile>>& all() const { return files_; }

 private:
  std::vector<std::unique_ptr<OpenFile>> files_;
};

}  // namespace zoetrope
