// A checkpoint being read: tensors by name, and what its header says.
#pragma once

#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "graph/weights.h"

namespace zoetrope {

struct Unreadable {
  std::string what;  // "a sparse tensor; save it as its to_dense()"
  bool is_tensor = false;
};

class Checkpoint : public WeightSource {
 public:
  virtual const std::string& path() const = 0;
  // Sorted.
  virtual const std::vector<std::string>& names() const = 0;
  // What the weights' own file says beside them.
  virtual const std::map<std::string, std::string>& metadata() const = 0;
  // The config.json beside the weights; empty: none.
  virtual const std::string& config() const;
  // What the file holds under a name and load() cannot give, such as sparse tensors.
  virtual const std::map<std::string, Unreadable, std::less<>>& unreadable() const;
  // Something that the file holds and that is no tensor, for messages; empty: nothing.
  virtual std::string remark() const;
};

// The error of a name that is none of the tensors: whether it is absent, or what else it is.
Status no_tensor(const Checkpoint& checkpoint, std::string_view name);

// safetensors: 8-byte length, JSON header, raw tensors. Mapped, not read. Every length, offset,
// shape and dtype is checked against the file first.
Result<std::unique_ptr<Checkpoint>> open_safetensors(const std::string& path);

// PyTorch .pt/.pth/.bin: a ZIP with a pickle. The pickle is read by an interpreter of our own that
// only rebuilds tensors; tensors in nested dicts are named by their path, joined with dots. Other
// objects are passed over; asking for one as a tensor is an error that names it.
Result<std::unique_ptr<Checkpoint>> open_torch(const std::string& path);

// GGUF, versions 2 and 3. Blocks of integers are numbers to type() and load(), in f32 as ggml makes
// them, and parts to encoded() and load_part(). Metadata are what the header's keys say, short
// lists joined with commas.
Result<std::unique_ptr<Checkpoint>> open_gguf(const std::string& path);

// A "*.index.json" that maps tensor names to shards beside it.
Result<std::unique_ptr<Checkpoint>> open_sharded(const std::string& index_path);

// Any of the above by what it is, or a folder that holds one of them.
Result<std::unique_ptr<Checkpoint>> open_checkpoint(const std::string& path);

// Several files as one checkpoint. A name in two of them is an error.
Result<std::unique_ptr<Checkpoint>> join_checkpoints(
    const std::string& path, std::vector<std::unique_ptr<Checkpoint>> parts);

// A diffusers pipeline folder: its model_index.json, or modular_model_index.json, and the
// components that it names. Those of a modular one that are not there are left out: it says where
// else they lie.
struct DiffusersFolder {
  struct Component {
    std::string type;  // "DiTTransformer2DModel"
    std::string path;
  };
  std::string path;               // of the folder
  std::string pipeline_class;     // "DiTPipeline"
  std::string index_path, index;  // of model_index.json, and its text
  std::map<std::string, Component> components;
};
Result<DiffusersFolder> read_diffusers_folder(const std::string& path);

// Errors where the bytes are plainly not weights but something people have in their place: a Git
// LFS pointer, a web page, an archive, ... Says what it is and what to do.
Status refuse_foreign(std::span<const uint8_t> bytes);

// A whole small file as text, refused beyond `limit` bytes.
Result<std::string> read_small_file(const std::string& path, int64_t limit = 64 << 20);

}  // namespace zoetrope
