// Texts that are one piece wherever they stand, among what is cut otherwise.
#pragma once

#include <array>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "graph/status.h"

namespace zoetrope {

class AddedTexts {
 public:
  // "added" of a tokenizer's JSON, ids by texts; none where there is none. Errors say what is wrong
  // with it, and begin with `what` the tokenizer should be.
  static Result<AddedTexts> open(const nlohmann::json& data, std::string_view what);

  int64_t size() const { return size_; }  // one more than the largest id

  // Appends the ids of `text`: of the added texts in it the first, and the longest there; what is
  // between them goes to `plain`. Stops once there are more than `enough`.
  using Plain = std::function<Status(std::string_view part, std::vector<int32_t>* ids)>;
  Status cut(std::string_view text, const Plain& plain, size_t enough,
             std::vector<int32_t>* ids) const;

 private:
  using Added = std::pair<std::string, int32_t>;
  // The longest that `text`, which is not empty, begins with; null: none.
  const Added* longest_at(std::string_view text) const;

  int64_t size_ = 0;
  std::vector<Added> added_;      // in the order of their bytes
  std::array<int, 257> first_{};  // where those that begin with a byte begin in it
};

}  // namespace zoetrope
