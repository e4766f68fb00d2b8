// Prompts to token ids.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "graph/status.h"

namespace zoetrope {

struct Tokens {
  std::vector<int32_t> ids;
  bool truncated = false;  // the prompt was longer than the model reads
};

// Byte-level ids: bos (where it is not negative), the prompt's UTF-8 bytes, eos; at most `max_ids`
// in all, cut at a character's border. Text that is not UTF-8 is an error with the offset of the
// first bad byte.
Result<Tokens> tokenize_bytes(std::string_view prompt, int bos, int eos, int64_t max_ids);

// Words of the prompt (letters, lower-cased) that are not in the sorted `vocabulary`, each once.
std::vector<std::string> unknown_words(std::string_view prompt,
                                       const std::vector<std::string>& vocabulary);

// The known word at the least edit distance (a letter more, less or another, or two swapped), among
// equals one with the same beginning; empty where more than a third of the letters would change.
std::string nearest_word(std::string_view word, const std::vector<std::string>& vocabulary);

}  // namespace zoetrope
