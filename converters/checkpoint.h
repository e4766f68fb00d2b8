// A checkpoint being read: tensors by name, and what its header says.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "graph/weights.h"

namespace zoetrope {

class Checkpoint : public WeightSource {
 public:
  virtual const std::string& path() const = 0;
  // Sorted.
  virtual const std::vector<std::string>& names() const = 0;
  virtual const std::map<std::string, std::string>& metadata() const = 0;
};

// safetensors: 8-byte length, JSON header, raw tensors. Mapped, not read. Every length, offset,
// shape and dtype is checked against the file first.
Result<std::unique_ptr<Checkpoint>> open_safetensors(const std::string& path);

// PyTorch .pt/.pth/.bin: a ZIP with a pickle. The pickle is read by an interpreter of our own that
// only rebuilds tensors; tensors in nested dicts are named by their path, joined with dots.
Result<std::unique_ptr<Checkpoint>> open_torch(const std::string& path);

// A "*.index.json" that maps tensor names to shards beside it.
Result<std::unique_ptr<Checkpoint>> open_sharded(const std::string& index_path);

// Any of the above by what it is, or a folder that holds one of them. Where a diffusers config.json
// stands beside the weights, metadata()["config"] is its text.
Result<std::unique_ptr<Checkpoint>> open_checkpoint(const std::string& path);

// Several files as one checkpoint. A name in two of them is an error.
Result<std::unique_ptr<Checkpoint>> join_checkpoints(
    const std::string& path, std::vector<std::unique_ptr<Checkpoint>> parts);

// A diffusers pipeline folder: the text of model_index.json's _class_name, and the component
// folders.
struct DiffusersFolder {
  std::string pipeline_class;
  std::map<std::string, std::string> components;  // name → path
};
Result<DiffusersFolder> read_diffusers_folder(const std::string& path);

// A whole small file as text, refused beyond `limit` bytes.
Result<std::string> read_small_file(const std::string& path, int64_t limit = 64 << 20);

}  // namespace zoetrope
