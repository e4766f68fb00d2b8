// The text networks and tokenizers of Gemma 3 and 4 from their published files.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "converters/checkpoint.h"
#include "models/gemma/gemma.h"

namespace zoetrope {

struct GemmaFile {
  GemmaConfig config;
  std::unique_ptr<Checkpoint> stored, scaled;  // of its own; null where another file has it
  const Checkpoint* checkpoint = nullptr;
  std::string prefix;  // of the keys from "embed_tokens" down
  // A SentencePiece model that the weights' file carries as a tensor of bytes; empty: none.
  std::vector<uint8_t> tokenizer;
};

// A folder of transformers (Gemma3ForConditionalGeneration, Gemma3ForCausalLM, Gemma3TextModel), or
// a file with such weights. Without a configuration beside it, it must be the 12B.
Result<GemmaFile> open_gemma(const std::string& path);
// The same inside a checkpoint that has other parts too; kNotFound: it has none.
Result<GemmaFile> find_gemma(const Checkpoint& checkpoint);

// As the model file has it: tokenizer.model of Gemma 3 (sentencepiece), or tokenizer.json of Gemma
// 4 (piece_bpe). `path` is the folder of one, or the file. What it does otherwise than Gemma's is
// refused.
struct GemmaTokenizer {
  std::string kind;
  std::vector<uint8_t> data;
};
Result<GemmaTokenizer> read_gemma_tokenizer(const std::string& path);
bool has_gemma_tokenizer(const std::string& folder);

// Whether a tensor beside the text network is one that text needs not: the picture's tower, the
// head that gives words.
bool is_beside_gemma_text(const std::string& key);

}  // namespace zoetrope
