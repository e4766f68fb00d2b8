#include "runtime/text/byte_pairs.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "runtime/text/letters.h"

namespace zoetrope {

Result<BytePairs> BytePairs::open(const nlohmann::json& json, std::string_view what,
                                  std::string_view word_end) {
  ZT_ASSIGN_OR_RETURN(PairMerges merges, PairMerges::open(json, what));
  BytePairs made(std::move(merges));
  const auto letters = byte_letters();
  for (size_t b = 0; b < 256; ++b) {
    made.inside_[b] = made.find(letters[b]).value_or(-1);
    made.last_[b] = made.find(letters[b] + std::string(word_end)).value_or(-1);
  }
  return made;
}

bool BytePairs::lacks_bytes() const {
  return std::count(inside_.begin(), inside_.end(), -1) +
             std::count(last_.begin(), last_.end(), -1) >
         0;
}

void BytePairs::stand_in(int32_t id) {
  std::replace(inside_.begin(), inside_.end(), -1, id);
  std::replace(last_.begin(), last_.end(), -1, id);
}

void BytePairs::add_word(std::string_view word, std::vector<int32_t>* ids) const {
  std::vector<int32_t> row;
  for (const char c : word) row.push_back(inside_[static_cast<unsigned char>(c)]);
  if (!row.empty()) row.back() = last_[static_cast<unsigned char>(word.back())];
  merges_.join(row, ids);
}

}  // namespace zoetrope
