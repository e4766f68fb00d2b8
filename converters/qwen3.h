// Qwen3's and Qwen3-VL's text network and tokenizer from their published files.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "converters/opened_part.h"
#include "models/qwen3/qwen3.h"
#include "models/qwen3/vision.h"

namespace zoetrope {

struct Qwen3Text {
  Qwen3Config config;
  std::optional<Qwen3VisionConfig> vision;          // none: the file has no sight
  int vision_start = 0, vision_end = 0, image = 0;  // ids
  OpenedPart part;  // text_encoder; with sight text_seeing and vision too
};

// A folder of transformers (Qwen3VLForConditionalGeneration, Qwen3VLTextModel), or weights with
// their config.json beside them; of its layers the first `layers`.
Result<Qwen3Text> open_qwen3_text(const std::string& path, int64_t layers);

// tokenizer.json, or the folder of one, as the data of the tokenizer kind byte_bpe. What it does
// otherwise than Qwen2's is refused.
Result<std::vector<uint8_t>> read_qwen_tokenizer(const std::string& path);

}  // namespace zoetrope
