// Pair encoding (arXiv 1508.07909): pieces that stand side by side are joined, rank by rank.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "graph/status.h"

namespace zoetrope {

class PairMerges {
 public:
  // `json`: "vocab", ids by piece, and "merges", pairs "a b" from the first to be joined to the
  // last. Errors say what is wrong with it, and begin with `what` it should be.
  static Result<PairMerges> open(const nlohmann::json& json, std::string_view what);

  int64_t size() const { return size_; }
  std::optional<int32_t> find(const std::string& piece) const;

  // The pair of the least rank is joined first, of equal ones the first in the row.
  void join(std::span<const int32_t> row, std::vector<int32_t>* ids) const;

 private:
  struct Merge {
    int32_t rank, id;
  };
  int64_t size_ = 0;
  std::unordered_map<std::string, int32_t> ids_;
  std::unordered_map<uint64_t, Merge> merges_;  // by both ids
};

}  // namespace zoetrope
