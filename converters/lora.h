// Adapters (LoRA) from the files that people exchange: PEFT's and diffusers' keys, kohya's, and
// those of the original repositories.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "graph/low_rank.h"

namespace zoetrope {

struct Lora {
  std::vector<LowRankUpdate> updates;  // of strength 1
  std::string revision;                // equal files, equal texts
};

// Every tensor of the file (safetensors or PyTorch) as an update of one of `tensors`, the model's
// weights, which carry the names that `family` gives them: pairs of matrices, and differences of
// whole weights, biases, norms and modulations. A pair's alpha stands beside it, in the file's
// metadata or in an adapter_config.json; without any, it is the rank. Differences are as they are.
// Errors name a key that fits no weight, a pair that is torn or whose ranks differ, and kinds of
// adapters that are neither (DoRA, LoHa, LoKr).
Result<Lora> read_lora(const std::string& path, std::string_view family,
                       std::span<const std::string> tensors, const WeightSource& weights);

}  // namespace zoetrope
