#include "runtime/text/byte_bpe.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "runtime/text/letters.h"

namespace zoetrope {
namespace {

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
  constexpr const char* kWhat = "byte-level vocabulary";
  ZT_ASSIGN_OR_RETURN(BytePairs pairs, BytePairs::open(json, kWhat, ""));
  if (pairs.lacks_bytes())
    return error(Code::kDataLoss, "the tokenizer is no ", kWhat,
                 " with merges: it has no piece for some bytes");
  ZT_ASSIGN_OR_RETURN(AddedTexts added, AddedTexts::open(json, kWhat));
  return std::unique_ptr<ByteBpe>(new ByteBpe(std::move(pairs), std::move(added)));
}

int64_t ByteBpe::size() const { return std::max(pairs_.size(), added_.size()); }

Result<std::vector<int32_t>> ByteBpe::pieces(std::string_view text, size_t enough) const {
  const auto words = [&](std::string_view part, std::vector<int32_t>* ids) -> Status {
    ZT_ASSIGN_OR_RETURN(const std::string plain, compose(part));
    for (size_t word = 0; word < plain.size() && ids->size() <= enough;) {
      const size_t end = word_end(plain, word);
      pairs_.add_word(std::string_view(plain).substr(word, end - word), ids);
      word = end;
    }
    return Status();
  };
  std::vector<int32_t> ids;
  ZT_RETURN_IF_ERROR(added_.cut(text, words, enough, &ids));
  return ids;
}

}  // namespace zoetrope
