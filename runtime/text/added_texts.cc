#include "runtime/text/added_texts.h"

#include <algorithm>
#include <nlohmann/json.hpp>

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
  std::stable_sort(made.added_.begin(), made.added_.end(),
                   [](const auto& a, const auto& b) { return a.first.size() > b.first.size(); });
  return made;
}

Status AddedTexts::cut(std::string_view text, const Plain& plain, size_t enough,
                       std::vector<int32_t>* ids) const {
  std::vector<size_t> next(added_.size(), 0);  // where each added text stands from here on
  for (size_t i = 0; i < added_.size(); ++i) next[i] = text.find(added_[i].first);
  for (size_t from = 0; from < text.size() && ids->size() <= enough;) {
    size_t at = std::string_view::npos, found = 0;
    for (size_t i = 0; i < added_.size(); ++i) {  // of two at one place the longer one comes first
      if (next[i] < from) next[i] = text.find(added_[i].first, from);
      if (next[i] < at) at = next[i], found = i;
    }
    ZT_RETURN_IF_ERROR(plain(text.substr(from, at - from), ids));
    if (at == std::string_view::npos) break;
    ids->push_back(added_[found].second);
    from = at + added_[found].first.size();
  }
  return Status();
}

}  // namespace zoetrope
