// Byte-level pair encoding (arXiv 1508.07909) of one word.
#pragma once

#include <array>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "graph/status.h"

namespace zoetrope {

class BytePairs {
 public:
  // `json`: "vocab", ids by piece, and "merges", pairs "a b" from the first to be joined to the
  // last. Pieces have a letter for each byte (GPT-2's), and those that end a word end with
  // `word_end`. Errors say what is wrong with it, and begin with `what` it should be.
  static Result<BytePairs> open(const nlohmann::json& json, std::string_view what,
                                std::string_view word_end);

  int64_t size() const { return size_; }
  std::optional<int32_t> find(const std::string& piece) const;
  // A byte for which there is no piece stands for this id from here on; false: every one has one.
  bool lacks_bytes() const;
  void stand_in(int32_t id);

  void add_word(std::string_view word, std::vector<int32_t>* ids) const;

 private:
  struct Merge {
    int32_t rank, id;
  };
  int64_t size_ = 0;
  std::unordered_map<std::string, int32_t> ids_;
  std::array<int32_t, 256> inside_{}, last_{};  // by byte: within a word, at its end; −1: none
  std::unordered_map<uint64_t, Merge> merges_;  // by both ids
};

}  // namespace zoetrope
