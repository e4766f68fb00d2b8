// CLIP's tokenizer: byte-level pair encoding (arXiv 1508.07909) of lower-cased words, as
// transformers' CLIPTokenizer cuts text.
#pragma once

#include <memory>
#include <span>
#include <utility>

#include "runtime/text/byte_pairs.h"
#include "runtime/text/tokenizer.h"

namespace zoetrope {

class ClipBpe : public Tokenizer {
 public:
  // `data` is JSON: "vocab", ids by piece, and "merges", pairs "a b" from the first to be joined to
  // the last. Pieces have a letter for each byte (GPT-2's), and those that end a word end with
  // "</w>". Errors say what is wrong with it.
  static Result<std::unique_ptr<ClipBpe>> open(std::span<const uint8_t> data);

  int64_t size() const override { return pairs_.size(); }

 protected:
  // "<|startoftext|>" and "<|endoftext|>" in the text are their ids, as everywhere with CLIP.
  Result<std::vector<int32_t>> pieces(std::string_view text, size_t enough) const override;

 private:
  explicit ClipBpe(BytePairs pairs) : pairs_(std::move(pairs)) {}
  void add_words(std::string_view text, std::vector<int32_t>* ids) const;

  BytePairs pairs_;
  int32_t start_ = 0, end_ = 0;
};

}  // namespace zoetrope
