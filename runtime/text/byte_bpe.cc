#include "runtime/text/byte_bpe.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "runtime/text/letters.h"

namespace zoetrope {
namespace {

constexpr size_t kMostAdded = 1 << 12;
constexpr int64_t kMostId = 1 << 22;

// A place in text, character by character; behind the end the kind is kEnd.
struct Place {
  explicit Place(std::string_view of, size_t from) : text(of), at(from) { read(); }
  void next() {
    at += length;
    read();
  }
  bool end() const { return at >= text.size(); }
  bool is(LetterKind k) const { return !end() && kind == k; }
  bool line_end() const { return !end() && (code == '\r' || code == '\n'); }

  std::string_view text;
  size_t at, length = 0;
  int32_t code = 0;
  LetterKind kind = LetterKind::kOther;

 private:
  void read() {
    if (end()) return;
    length = read_character(text, at, &code);
    kind = letter_kind(code);
  }
};

// The letter of an English contraction, in either case; the long s counts as one.
bool contracts(int32_t code, char letter) {
  return code == letter || code == letter - 'a' + 'A' || (letter == 's' && code == 0x17f);
}

// '(s|t|re|ve|m|ll|d), its end; the place itself where there is none.
size_t contraction_end(std::string_view text, size_t at) {
  Place place(text, at);
  if (place.code != '\'') return at;
  for (const std::string_view letters : {"s", "t", "re", "ve", "m", "ll", "d"}) {
    Place p = place;
    size_t matched = 0;
    for (p.next(); matched < letters.size() && !p.end() && contracts(p.code, letters[matched]);
         p.next())
      ++matched;
    if (matched == letters.size()) return p.at;
  }
  return at;
}

// What the pattern takes at `at`:
//   (?i:'s|'t|'re|'ve|'m|'ll|'d) | [^\r\n\p{L}\p{N}]?\p{L}+ | \p{N} | ?[^\s\p{L}\p{N}]+[\r\n]*
//   | \s*[\r\n]+ | \s+(?!\S) | \s+
size_t word_end(std::string_view text, size_t at) {
  if (const size_t end = contraction_end(text, at); end > at) return end;
  Place p(text, at);
  if (p.is(LetterKind::kNumber)) return at + p.length;
  Place q = p;
  if (!p.is(LetterKind::kLetter) && !p.line_end()) q.next();
  if (q.is(LetterKind::kLetter)) {
    while (q.is(LetterKind::kLetter)) q.next();
    return q.at;
  }
  q = p;
  if (p.code == ' ') q.next();
  if (q.is(LetterKind::kOther)) {
    while (q.is(LetterKind::kOther)) q.next();
    while (q.line_end()) q.next();
    return q.at;
  }
  // White space: up to its last line end; else all but the last before other text.
  size_t lines = at, last = at;
  for (q = p; q.is(LetterKind::kSpace); q.next()) {
    last = q.at;
    if (q.line_end()) lines = q.at + q.length;
  }
  if (lines > at) return lines;
  return q.end() || last == at ? q.at : last;
}

}  // namespace

Result<std::unique_ptr<ByteBpe>> ByteBpe::open(std::span<const uint8_t> data) {
  const auto json = nlohmann::json::parse(data.begin(), data.end(), nullptr,
                                          /*allow_exceptions=*/false);
  const auto bad = [](const auto&... parts) {
    return error(Code::kDataLoss,
                 "the tokenizer is no byte-level vocabulary with merges: ", parts...);
  };
  ZT_ASSIGN_OR_RETURN(BytePairs pairs, BytePairs::open(json, "byte-level vocabulary", ""));
  if (pairs.lacks_bytes()) return bad("it has no piece for some bytes");
  std::unique_ptr<ByteBpe> made(new ByteBpe(std::move(pairs)));
  const auto added = json.find("added");
  if (added == json.end()) return made;
  if (!added->is_object() || added->size() > kMostAdded) return bad("\"added\" is no list of ids");
  for (const auto& [text, id] : added->items()) {
    if (text.empty() || !id.is_number_integer() || id.get<int64_t>() < 0 ||
        id.get<int64_t>() >= kMostId)
      return bad("'", text.substr(0, 80), "' has the id ", id.dump().substr(0, 80));
    made->added_.emplace_back(text, id.get<int32_t>());
    made->size_ = std::max(made->size_, id.get<int64_t>() + 1);
  }
  std::stable_sort(made->added_.begin(), made->added_.end(),
                   [](const auto& a, const auto& b) { return a.first.size() > b.first.size(); });
  return made;
}

Result<std::vector<int32_t>> ByteBpe::pieces(std::string_view text) const {
  std::vector<int32_t> ids;
  std::vector<size_t> next(added_.size(), 0);  // where each added text stands from here on
  for (size_t i = 0; i < added_.size(); ++i) next[i] = text.find(added_[i].first);
  for (size_t from = 0; from < text.size();) {
    size_t at = std::string_view::npos, found = 0;
    for (size_t i = 0; i < added_.size(); ++i) {  // of two at one place the longer one comes first
      if (next[i] < from) next[i] = text.find(added_[i].first, from);
      if (next[i] < at) at = next[i], found = i;
    }
    ZT_ASSIGN_OR_RETURN(const std::string plain, compose(text.substr(from, at - from)));
    for (size_t word = 0; word < plain.size();) {
      const size_t end = word_end(plain, word);
      pairs_.add_word(std::string_view(plain).substr(word, end - word), &ids);
      word = end;
    }
    if (at == std::string_view::npos) break;
    ids.push_back(added_[found].second);
    from = at + added_[found].first.size();
  }
  return ids;
}

}  // namespace zoetrope
