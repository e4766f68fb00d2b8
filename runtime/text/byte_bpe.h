// Byte-level pair encoding of composed (NFC) text, cut into words by the pattern that word_end() in
// byte_bpe.cc shows.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "runtime/text/byte_pairs.h"
#include "runtime/text/tokenizer.h"

namespace zoetrope {

class ByteBpe : public Tokenizer {
 public:
  // `data` is JSON: "vocab" and "merges" as BytePairs has them, and "added", ids by texts that are
  // pieces as they stand. Errors say what is wrong with it.
  static Result<std::unique_ptr<ByteBpe>> open(std::span<const uint8_t> data);

  int64_t size() const override { return size_; }

 protected:
  // An added text is its id wherever it stands: of several the first, and the longest there.
  Result<std::vector<int32_t>> pieces(std::string_view text) const override;

 private:
  explicit ByteBpe(BytePairs pairs) : pairs_(std::move(pairs)), size_(pairs_.size()) {}

  BytePairs pairs_;
  int64_t size_;
  std::vector<std::pair<std::string, int32_t>> added_;  // longest first
};

}  // namespace zoetrope
