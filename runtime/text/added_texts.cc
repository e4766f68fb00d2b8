#include "runtime/text/added_texts.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>

namespace zoetrope {
namespace {

constexpr size_t kMostAdded = 1 << 13;
constexpr int64_t kMostId = 1 << 22;

}  // namespace

Result<AddedTexts> AddedTexts::open(const nlohmann::json& data, std::string_view what) {
  const auto bad = [&](const auto&... parts) {
    return error(Code::kDataLoss, "the tokenizer is no ", what, " with merges: ", parts...);
  };
  AddedTexts made;
  const auto added = data.find("added");
  if (added == data.end()) return made;
  if (!added->is_object() || added->size() > kMostAdded) return bad("\"added\" is no list of ids");
  for (const auto& [text, id] : added->items()) {
    if (text.empty() || !id.is_number_integer() || id.get<int64_t>() < 0 ||
        id.get<int64_t>() >= kMostId)
      return bad("'", text.substr(0, 80), "' has the id ", id.dump().substr(0, 80));
    made.added_.emplace_back(text, id.get<int32_t>());
    made.size_ = std::max(made.size_, id.get<int64_t>() + 1);
  }
  std::sort(made.added_.begin(), made.added_.end());
  for (const Added& each : made.added_)
    ++made.first_[static_cast<unsigned char>(each.first[0]) + 1];
  std::partial_sum(made.first_.begin(), made.first_.end(), made.first_.begin());
  return made;
}

const AddedTexts::Added* AddedTexts::longest_at(std::string_view text) const {
  const auto byte = [](std::string_view s, size_t at) { return static_cast<unsigned char>(s[at]); };
  const Added* found = nullptr;
  auto low = added_.begin() + first_[byte(text, 0)],
       high = added_.begin() + first_[byte(text, 0) + 1];
  // From `low` to `high` all begin with the first `depth` bytes; what ends there stands first.
  for (size_t depth = 1; low != high; ++depth) {
    if (low->first.size() == depth) found = &*low++;
    if (high - low == 1 && text.starts_with(low->first)) return &*low;
    if (high - low <= 1 || depth == text.size()) break;
    const unsigned char next = byte(text, depth);
    low = std::lower_bound(low, high, next, [&](const Added& a, unsigned char value) {
      return byte(a.first, depth) < value;
    });
    high = std::upper_bound(low, high, next, [&](unsigned char value, const Added& a) {
      return value < byte(a.first, depth);
    });
  }
  return found;
}

Status AddedTexts::cut(std::string_view text, const Plain& plain, size_t enough,
                       std::vector<int32_t>* ids) const {
  for (size_t from = 0; from < text.size() && ids->size() <= enough;) {
    const Added* found = nullptr;
    size_t at = from;
    while (at < text.size() && (found = longest_at(text.substr(at))) == nullptr) ++at;
    ZT_RETURN_IF_ERROR(plain(text.substr(from, at - from), ids));
    if (found == nullptr) break;
    ids->push_back(found->second);
    from = at + found->first.size();
  }
  return Status();
}

}  // namespace zoetrope
