// Tokens by a SentencePiece model (arXiv 1808.06226), whose bytes travel in the model file.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "graph/status.h"

namespace zoetrope {

struct TokenIds {
  std::vector<int32_t> ids;
  bool truncated = false;  // the text was longer than max_ids
};

// Immutable: any thread may use it.
class SentencePiece {
 public:
  // Errors say what is wrong with the bytes.
  static Result<std::unique_ptr<SentencePiece>> open(std::span<const uint8_t> model);
  ~SentencePiece();

  int64_t size() const;  // ids run from 0 to one less

  // bos (where not negative), the text's pieces, eos (likewise): at most max_ids, cut behind the
  // last piece that fits. Names of control pieces in the text ("</s>") are text. Text must be
  // UTF-8.
  Result<TokenIds> encode(std::string_view text, int bos, int eos, int64_t max_ids) const;

 private:
  struct Processor;
  explicit SentencePiece(std::unique_ptr<Processor> processor);
  std::unique_ptr<Processor> processor_;
};

}  // namespace zoetrope
