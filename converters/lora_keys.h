// The keys of adapter files: which tensor of a model each means, and which part of its update it
// is.
#pragma once

#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "converters/checkpoint.h"
#include "converters/families.h"

namespace zoetrope {

enum class LoraPart {
  kDown,  // lora_A, lora_down
  kUp,    // lora_B, lora_up
  kAlpha,
  kUpBias,          // lora_B.bias: of the bias, scaled as the pair is
  kDiff,            // diff, w_norm: all of the weight, or of a parameter that is no module's
  kDiffBias,        // diff_b, b_norm
  kDiffModulation,  // diff_m: of "<module>.modulation"
  kDiffParameter,   // diff_param: of the tensor of exactly that name
};

// The keys of one module, by part.
using LoraModule = std::map<LoraPart, std::string>;

// Whether `key` ends as an adapter's do, of a kind that is read or not.
bool is_adapter_key(std::string_view key);

// Every key of the file by its module's name. Errors name a key that is none of these, what kind of
// adapter it belongs to where that is known, or one that says again what another does.
Result<std::map<std::string, LoraModule>> find_lora_modules(const Checkpoint& checkpoint);

// Rows of a tensor that a module's update changes.
struct LoraTarget {
  std::string tensor;
  int64_t part = 0, parts = 1;  // of its rows: q, k and v may be joined
  bool ambiguous = false;       // another tensor has the same name
};

// The model's tensors by every name that files may give them.
class LoraNames {
 public:
  LoraNames(const Family& family, std::span<const std::string> tensors);
  // `module` as the file has it, prefixes and all; kohya's have dots as underscores. Null: none.
  const LoraTarget* find(std::string_view module, LoraPart part) const;

 private:
  std::map<std::string, LoraTarget, std::less<>> targets_;
};

}  // namespace zoetrope
