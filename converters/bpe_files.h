// Tokenizers of byte-level pair encoding from their published files.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "graph/status.h"

namespace zoetrope {

// tokenizer.json of the tokenizers library: "vocab" and "merges" as the model file has them
// (FORMAT.md), and the file as a whole. Words end with `word_end`; `who` names the tokenizer.
struct LibraryTokenizer {
  nlohmann::json data, file;
  nlohmann::json at(const char* pointer) const;  // of the file; null where there is none
};
Result<LibraryTokenizer> read_library_tokenizer(const std::string& path, std::string_view who,
                                                std::string_view word_end);

// Its added pieces, ids by texts. One that is not taken as it stands is refused.
Result<nlohmann::json> added_pieces(const LibraryTokenizer& tokenizer, const std::string& path,
                                    std::string_view who);

// vocab.json and merges.txt of a folder, likewise.
Result<nlohmann::json> read_vocab_and_merges(const std::string& folder);

std::vector<uint8_t> json_bytes(const nlohmann::json& json);

}  // namespace zoetrope
