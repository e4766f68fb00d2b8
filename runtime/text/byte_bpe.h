// Byte-level pair encoding of composed (NFC) text, cut into words by the pattern that word_end() in
// byte_bpe.cc shows.
#pragma once

#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "runtime/text/added_texts.h"
#include "runtime/text/byte_pairs.h"
#include "runtime/text/tokenizer.h"

namespace zoetrope {

class ByteBpe : public Tokenizer {
 public:
  // `data` is JSON: "vocab" and "merges" as BytePairs has them, "added" as AddedTexts. Errors say
  // what is wrong with it.
  static Result<std::unique_ptr<ByteBpe>> open(std::span<const uint8_t> data);

  int64_t size() const override;

 protected:
  Result<std::vector<int32_t>> pieces(std::string_view text, size_t enough) const override;

 private:
  ByteBpe(BytePairs pairs, AddedTexts added) : pairs_(std::move(pairs)), added_(std::move(added)) {}

  BytePairs pairs_;
  AddedTexts added_;
};

}  // namespace zoetrope
