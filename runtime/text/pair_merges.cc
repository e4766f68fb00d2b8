#include "runtime/text/pair_merges.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <queue>

namespace zoetrope {
namespace {

constexpr size_t kMostPieces = 1 << 22;

uint64_t pair_of(int32_t a, int32_t b) {
  return static_cast<uint64_t>(static_cast<uint32_t>(a)) << 32 | static_cast<uint32_t>(b);
}

}  // namespace

Result<PairMerges> PairMerges::open(const nlohmann::json& json, std::string_view what) {
  const auto bad = [&](const auto&... parts) {
    return error(Code::kDataLoss, "the tokenizer is no ", what, " with merges: ", parts...);
  };
  if (!json.is_object() || !json.contains("vocab") || !json["vocab"].is_object() ||
      !json.contains("merges") || !json["merges"].is_array())
    return bad("expected JSON with \"vocab\" and \"merges\"");
  const nlohmann::json &vocab = json["vocab"], &merges = json["merges"];
  if (vocab.size() > kMostPieces || merges.size() > kMostPieces)
    return bad(vocab.size(), " pieces and ", merges.size(), " merges");
  PairMerges made;
  for (const auto& [piece, id] : vocab.items()) {
    if (!id.is_number_integer() || id.get<int64_t>() < 0 ||
        id.get<int64_t>() >= static_cast<int64_t>(kMostPieces))
      return bad("piece '", piece.substr(0, 80), "' has the id ", id.dump().substr(0, 80));
    made.ids_[piece] = id.get<int32_t>();
    made.size_ = std::max(made.size_, id.get<int64_t>() + 1);
  }
  for (size_t rank = 0; rank < merges.size(); ++rank) {
    const std::string text = merges[rank].is_string() ? merges[rank].get<std::string>() : "";
    const size_t space = text.find(' ');
    if (space == std::string::npos)
      return bad("merge ", rank, " is not two pieces: ", merges[rank].dump().substr(0, 80));
    const std::string a = text.substr(0, space), b = text.substr(space + 1);
    const auto first = made.find(a), second = made.find(b), both = made.find(a + b);
    if (!first || !second || !both)
      return bad("merge ", rank, ", '", text.substr(0, 80),
                 "', is of pieces that it does not have");
    made.merges_.insert_or_assign(pair_of(*first, *second),
                                  Merge{static_cast<int32_t>(rank), *both});
  }
  return made;
}

std::optional<int32_t> PairMerges::find(const std::string& piece) const {
  const auto it = ids_.find(piece);
  return it == ids_.end() ? std::nullopt : std::optional(it->second);
}

void PairMerges::join(std::span<const int32_t> row, std::vector<int32_t>* ids) const {
  struct Symbol {
    int32_t id;
    int32_t before, after;  // places; -1: none
    bool joined = false;    // to the one before
  };
  std::vector<Symbol> symbols;
  const auto count = static_cast<int32_t>(row.size());
  for (int32_t i = 0; i < count; ++i)
    symbols.push_back({row[static_cast<size_t>(i)], i - 1, i + 1 < count ? i + 1 : -1});
  struct Candidate {
    int32_t rank, place, left, right, id;
    bool operator>(const Candidate& o) const {
      return std::pair(rank, place) > std::pair(o.rank, o.place);
    }
  };
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> queue;
  const auto consider = [&](int32_t place) {
    if (place < 0 || symbols[static_cast<size_t>(place)].after < 0) return;
    const Symbol& a = symbols[static_cast<size_t>(place)];
    const Symbol& b = symbols[static_cast<size_t>(a.after)];
    if (const auto it = merges_.find(pair_of(a.id, b.id)); it != merges_.end())
      queue.push({it->second.rank, place, a.id, b.id, it->second.id});
  };
  for (int32_t i = 0; i < count; ++i) consider(i);
  while (!queue.empty()) {
    const Candidate c = queue.top();
    queue.pop();
    Symbol& a = symbols[static_cast<size_t>(c.place)];
    if (a.joined || a.id != c.left || a.after < 0) continue;
    Symbol& b = symbols[static_cast<size_t>(a.after)];
    if (b.id != c.right) continue;
    a.id = c.id;
    b.joined = true;
    a.after = b.after;
    if (b.after >= 0) symbols[static_cast<size_t>(b.after)].before = c.place;
    consider(a.before);
    consider(c.place);
  }
  for (int32_t i = 0; i >= 0 && i < count; i = symbols[static_cast<size_t>(i)].after)
    ids->push_back(symbols[static_cast<size_t>(i)].id);
}

}  // namespace zoetrope
