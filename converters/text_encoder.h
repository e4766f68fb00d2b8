// Text encoders of the T5 family from their published files.
#pragma once

#include <string>

#include "converters/opened_part.h"
#include "models/t5/t5.h"

namespace zoetrope {

struct TextEncoder {
  T5Config config;
  OpenedPart part;  // text_encoder
  // A SentencePiece model that the weights' file carries as a tensor of bytes; empty: none.
  std::vector<uint8_t> tokenizer;
};

// A folder of transformers (UMT5EncoderModel, T5EncoderModel), such weights alone in one file, or
// Wan's own file of UMT5.
Result<TextEncoder> open_text_encoder(const std::string& path);

}  // namespace zoetrope
