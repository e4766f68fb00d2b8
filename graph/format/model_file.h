// Reading a .zoe model file: mapped, verified, zero-copy. FORMAT.md describes the bytes.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "graph/format/mapped_file.h"
#include "graph/graph.h"
#include "graph/weights.h"

namespace zoetrope {

// Layout of the file: header, root, tensors.
inline constexpr char kModelMagic[8] = {'Z', 'O', 'E', 'T', 'R', 'O', 'P', 'E'};
inline constexpr uint32_t kModelVersion = 1;
inline constexpr int64_t kModelHeaderBytes = 64;
// Large tensors begin at pages, so that none shares one with another; of small ones pages would be
// mostly padding.
inline constexpr int64_t kLargeTensor = 65536;  // bytes
constexpr int64_t tensor_alignment(int64_t length) { return length < kLargeTensor ? 64 : 4096; }

enum class Distribution : uint8_t { kConstant = 0, kNormal = 1, kUniform = 2 };

struct SyntheticTensor {
  Distribution distribution = Distribution::kNormal;
  double a = 0;  // constant: the value; normal: mean; uniform: low end
  double b = 1;  // normal: standard deviation; uniform: high end
  uint64_t seed = 0;
};

struct TensorEntry {
  std::string name;
  TensorType type;
  int64_t offset = 0;
  int64_t length = 0;
  uint64_t hash = 0;
  std::optional<SyntheticTensor> synthetic;
};

struct StoredTokenizer {
  std::string name;  // empty: the only one needs none
  std::string kind;  // "bytes", "sentencepiece", "clip_bpe"
  std::vector<uint8_t> data = {};
  bool operator==(const StoredTokenizer&) const = default;
};

// What a file holds besides weights.
struct ModelInfo {
  std::string name;
  std::string family;
  std::vector<Graph> components;
  std::vector<StoredTokenizer> tokenizers;
  std::vector<std::string> vocabulary;
  std::string recipe;  // JSON, see recipe.h
  std::string provenance;
  std::string licence;
  std::vector<std::string> captions;  // that show what it can
  std::string quantisation;  // JSON: what it cost (runtime/quantize/report.h); empty: not quantised
};

class ModelFile : public WeightSource {
 public:
  // Checks structure: bounds, graphs, names, shapes, and the root's hash; not the tensors' bytes.
  // Errors name the file and what in it is wrong.
  static Result<std::unique_ptr<ModelFile>> open(const std::string& path);

  const std::string& path() const { return file_.path(); }
  int64_t file_bytes() const { return static_cast<int64_t>(file_.bytes().size()); }
  const ModelInfo& info() const { return info_; }
  // Of the root, which holds every tensor's hash: equal ones, equal models.
  uint64_t root_hash() const { return root_hash_; }
  std::span<const TensorEntry> tensors() const { return tensors_; }  // sorted by name
  const TensorEntry* find_tensor(std::string_view name) const;

  // Reads every stored tensor and compares its hash; where `finite`, also refuses NaN and infinity.
  Status verify_tensors(bool finite) const;

  Result<TensorType> type(std::string_view name) const override;
  // Stored tensors are views into the mapping; synthetic ones are generated.
  Result<WeightData> load(std::string_view name) const override;
  int64_t made_bytes(std::string_view name) const override;
  // Of a stored tensor's bytes, or of some of them, those that are not in memory yet
  // (MappedFile::absent_bytes).
  int64_t absent_bytes(const TensorEntry& tensor) const;
  int64_t absent_bytes(const TensorEntry& tensor, int64_t begin, int64_t length) const;

 private:
  Status parse();

  MappedFile file_;
  uint64_t root_hash_ = 0;
  ModelInfo info_;
  std::vector<TensorEntry> tensors_;
};

// Of `threads` that there are, those that a synthetic tensor is worth.
int synthetic_threads(const TensorType& type, int threads);
// Fills `data` with a synthetic tensor: the same bytes for any number of threads.
void generate_synthetic(const SyntheticTensor& spec, const TensorType& type, void* data,
                        int threads);

}  // namespace zoetrope
