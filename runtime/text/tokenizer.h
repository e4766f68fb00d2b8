// What turns text into ids, by data that travels in the model file.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "graph/status.h"

namespace zoetrope {

struct TokenIds {
  std::vector<int32_t> ids;
  bool truncated = false;  // the text was longer than max_ids
};

// Immutable: any thread may use it.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  virtual int64_t size() const = 0;  // ids run from 0 to one less

  // bos (where not negative), the text's pieces, eos (likewise): at most max_ids, cut behind the
  // last piece that fits. Text must be UTF-8.
  Result<TokenIds> encode(std::string_view text, int bos, int eos, int64_t max_ids) const;

 protected:
  // Of the text alone, or of its beginning where there are more than `enough`; errors say why it
  // cannot be cut.
  virtual Result<std::vector<int32_t>> pieces(std::string_view text, size_t enough) const = 0;
};

}  // namespace zoetrope
