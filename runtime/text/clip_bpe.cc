#include "runtime/text/clip_bpe.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <optional>
#include <queue>

namespace zoetrope {
namespace {

using Json = nlohmann::json;

constexpr std::string_view kStart = "<|startoftext|>", kEnd = "<|endoftext|>", kWordEnd = "</w>";
constexpr size_t kMostPieces = 1 << 22;

uint64_t pair_of(int32_t a, int32_t b) {
  return static_cast<uint64_t>(static_cast<uint32_t>(a)) << 32 | static_cast<uint32_t>(b);
}

void append(uint32_t code, std::string* out) {
  utf8proc_uint8_t bytes[4];
  const auto n = utf8proc_encode_char(static_cast<utf8proc_int32_t>(code), bytes);
  out->append(reinterpret_cast<const char*>(bytes), static_cast<size_t>(n));
}

// GPT-2's letter of a byte: itself where it prints, else one from U+0100 on.
std::array<std::string, 256> byte_letters() {
  std::array<std::string, 256> letters;
  uint32_t next = 256;
  for (uint32_t b = 0; b < 256; ++b) {
    const bool prints = (b >= '!' && b <= '~') || (b >= 0xa1 && b <= 0xac) || b >= 0xae;
    append(prints ? b : next++, &letters[b]);
  }
  return letters;
}

bool is_space(utf8proc_int32_t c) {
  return (c >= 9 && c <= 13) || c == 32 || c == 0x85 || c == 0xa0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f ||
         c == 0x3000;
}

enum class Kind { kSpace, kLetter, kNumber, kOther };

Kind kind_of(utf8proc_int32_t c) {
  if (is_space(c)) return Kind::kSpace;
  switch (utf8proc_category(c)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO: return Kind::kLetter;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO: return Kind::kNumber;
    default: return Kind::kOther;
  }
}

// Composed (NFC), white space as single spaces, lower case.
Result<std::string> normalise(std::string_view text) {
  utf8proc_uint8_t* composed = nullptr;
  const utf8proc_ssize_t length =
      utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                   static_cast<utf8proc_ssize_t>(text.size()), &composed,
                   static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
  if (length < 0)
    return error(Code::kInvalidArgument, "the text cannot be tokenized: ", utf8proc_errmsg(length));
  const std::unique_ptr<utf8proc_uint8_t, decltype(&std::free)> owner(composed, &std::free);
  std::string out;
  bool space = false;
  for (utf8proc_ssize_t at = 0; at < length;) {
    utf8proc_int32_t code = 0;
    at += std::max<utf8proc_ssize_t>(utf8proc_iterate(composed + at, length - at, &code), 1);
    if (is_space(code)) {
      if (!space) out.push_back(' ');
      space = true;
      continue;
    }
    space = false;
    append(static_cast<uint32_t>(utf8proc_tolower(code)), &out);
    if (code == 0x130) append(0x307, &out);  // the one letter that becomes two
  }
  return out;
}

// The end of the word that begins at `at`: what CLIP's pattern takes there.
size_t word_end(std::string_view text, size_t at) {
  for (const std::string_view whole : {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"})
    if (text.substr(at).starts_with(whole)) return at + whole.size();
  const auto* const bytes = reinterpret_cast<const utf8proc_uint8_t*>(text.data());
  const auto read = [&](size_t from, utf8proc_int32_t* code) {
    const auto n =
        utf8proc_iterate(bytes + from, static_cast<utf8proc_ssize_t>(text.size() - from), code);
    return static_cast<size_t>(std::max<utf8proc_ssize_t>(n, 1));
  };
  utf8proc_int32_t code = 0;
  size_t end = at + read(at, &code);
  const Kind kind = kind_of(code);
  if (kind == Kind::kNumber) return end;  // one by one
  while (end < text.size()) {
    const size_t n = read(end, &code);
    if (kind_of(code) != kind) break;
    end += n;
  }
  return end;
}

}  // namespace

Result<std::unique_ptr<ClipBpe>> ClipBpe::open(std::span<const uint8_t> data) {
  const auto bad = [](const auto&... parts) {
    return error(Code::kDataLoss, "the tokenizer is no CLIP vocabulary with merges: ", parts...);
  };
  const Json json = Json::parse(data.begin(), data.end(), nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || !json.contains("vocab") || !json["vocab"].is_object() ||
      !json.contains("merges") || !json["merges"].is_array())
    return bad("expected JSON with \"vocab\" and \"merges\"");
  const Json &vocab = json["vocab"], &merges = json["merges"];
  if (vocab.size() > kMostPieces || merges.size() > kMostPieces)
    return bad(vocab.size(), " pieces and ", merges.size(), " merges");
  std::unique_ptr<ClipBpe> made(new ClipBpe);
  std::unordered_map<std::string, int32_t> ids;
  for (const auto& [piece, id] : vocab.items()) {
    if (!id.is_number_integer() || id.get<int64_t>() < 0 ||
        id.get<int64_t>() >= static_cast<int64_t>(kMostPieces))
      return bad("piece '", piece.substr(0, 80), "' has the id ", id.dump().substr(0, 80));
    ids[piece] = id.get<int32_t>();
    made->size_ = std::max(made->size_, id.get<int64_t>() + 1);
  }
  for (const auto& [name, to] : {std::pair{kStart, &made->start_}, std::pair{kEnd, &made->end_}}) {
    const auto it = ids.find(std::string(name));
    if (it == ids.end()) return bad("it has no piece '", name, "'");
    *to = it->second;
  }
  const auto letters = byte_letters();
  for (size_t b = 0; b < 256; ++b) {
    // What is no piece is the end of the text, as transformers has it.
    const auto id_of = [&](const std::string& piece) {
      const auto it = ids.find(piece);
      return it == ids.end() ? made->end_ : it->second;
    };
    made->inside_[b] = id_of(letters[b]);
    made->last_[b] = id_of(letters[b] + std::string(kWordEnd));
  }
  for (size_t rank = 0; rank < merges.size(); ++rank) {
    const std::string text = merges[rank].is_string() ? merges[rank].get<std::string>() : "";
    const size_t space = text.find(' ');
    if (space == std::string::npos)
      return bad("merge ", rank, " is not two pieces: ", merges[rank].dump().substr(0, 80));
    const std::string a = text.substr(0, space), b = text.substr(space + 1);
    const auto first = ids.find(a), second = ids.find(b), both = ids.find(a + b);
    if (first == ids.end() || second == ids.end() || both == ids.end())
      return bad("merge ", rank, ", '", text.substr(0, 80),
                 "', is of pieces that it does not have");
    made->merges_.insert_or_assign(pair_of(first->second, second->second),
                                   Merge{static_cast<int32_t>(rank), both->second});
  }
  return made;
}

Result<std::vector<int32_t>> ClipBpe::pieces(std::string_view text) const {
  std::vector<int32_t> ids;
  while (!text.empty()) {
    const size_t start = text.find(kStart), end = text.find(kEnd), at = std::min(start, end);
    ZT_ASSIGN_OR_RETURN(const std::string before, normalise(text.substr(0, at)));
    add_words(before, &ids);
    if (at == std::string_view::npos) break;
    ids.push_back(start < end ? start_ : end_);
    text.remove_prefix(at + (start < end ? kStart.size() : kEnd.size()));
  }
  return ids;
}

void ClipBpe::add_words(std::string_view text, std::vector<int32_t>* ids) const {
  for (size_t at = 0; at < text.size();) {
    if (text[at] == ' ') {  // the only white space that is left
      ++at;
      continue;
    }
    const size_t end = word_end(text, at);
    add_word(text.substr(at, end - at), ids);
    at = end;
  }
}

// The pair of the least rank is joined first, of equal ones the first in the word.
void ClipBpe::add_word(std::string_view word, std::vector<int32_t>* ids) const {
  struct Symbol {
    int32_t id;
    int32_t before, after;  // places; -1: none
    bool joined = false;    // to the one before
  };
  std::vector<Symbol> symbols;
  const auto count = static_cast<int32_t>(word.size());
  for (int32_t i = 0; i < count; ++i) {
    const auto byte = static_cast<unsigned char>(word[static_cast<size_t>(i)]);
    symbols.push_back(
        {i + 1 < count ? inside_[byte] : last_[byte], i - 1, i + 1 < count ? i + 1 : -1});
  }
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
