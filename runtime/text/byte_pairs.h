// Byte-level pair encoding of one word.
#pragma once

#include <array>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/text/pair_merges.h"

namespace zoetrope {

class BytePairs {
 public:
  // `json` as PairMerges has it; pieces have a letter for each byte (GPT-2's), and those that end a
  // word end with `word_end`.
  static Result<BytePairs> open(const nlohmann::json& json, std::string_view what,
                                std::string_view word_end);

  int64_t size() const { return merges_.size(); }
  std::optional<int32_t> find(const std::string& piece) const { return merges_.find(piece); }
  // A byte for which there is no piece stands for this id from here on; false: every one has one.
  bool lacks_bytes() const;
  void stand_in(int32_t id);

  void add_word(std::string_view word, std::vector<int32_t>* ids) const;

 private:
  explicit BytePairs(PairMerges merges) : merges_(std::move(merges)) {}

  PairMerges merges_;
  std::array<int32_t, 256> inside_{}, last_{};  // by byte: within a word, at its end; −1: none
};

}  // namespace zoetrope
