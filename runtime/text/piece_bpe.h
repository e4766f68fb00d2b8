// Pair encoding of characters, as Gemma's: a space is the character "▁", and a character without a
// piece is its bytes', "<0x0A>".
#pragma once

#include <array>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "runtime/text/added_texts.h"
#include "runtime/text/pair_merges.h"
#include "runtime/text/tokenizer.h"

namespace zoetrope {

class PieceBpe : public Tokenizer {
 public:
  // `data` is JSON: "vocab" and "merges" as PairMerges has them, "added" as AddedTexts. Errors say
  // what is wrong with it.
  static Result<std::unique_ptr<PieceBpe>> open(std::span<const uint8_t> data);

  int64_t size() const override;

 protected:
  Result<std::vector<int32_t>> pieces(std::string_view text, size_t enough) const override;

 private:
  PieceBpe(PairMerges merges, AddedTexts added)
      : merges_(std::move(merges)), added_(std::move(added)) {}

  PairMerges merges_;
  AddedTexts added_;
  std::array<int32_t, 256> bytes_{};
};

}  // namespace zoetrope
