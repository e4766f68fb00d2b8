#include "runtime/text/clip_bpe.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "runtime/text/letters.h"

namespace zoetrope {
namespace {

constexpr std::string_view kStart = "<|startoftext|>", kEnd = "<|endoftext|>", kWordEnd = "</w>";

// Composed, white space as single spaces, lower case.
Result<std::string> normalise(std::string_view text) {
  ZT_ASSIGN_OR_RETURN(const std::string composed, compose(text));
  std::string out;
  bool space = false;
  for (size_t at = 0; at < composed.size();) {
    int32_t code = 0;
    at += read_character(composed, at, &code);
    if (is_white_space(code)) {
      if (!space) out.push_back(' ');
      space = true;
      continue;
    }
    space = false;
    append_character(static_cast<uint32_t>(utf8proc_tolower(code)), &out);
    if (code == 0x130) append_character(0x307, &out);  // the one letter that becomes two
  }
  return out;
}

// The end of the word that begins at `at`: what CLIP's pattern takes there.
size_t word_end(std::string_view text, size_t at) {
  for (const std::string_view whole : {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"})
    if (text.substr(at).starts_with(whole)) return at + whole.size();
  int32_t code = 0;
  size_t end = at + read_character(text, at, &code);
  const LetterKind kind = letter_kind(code);
  if (kind == LetterKind::kNumber) return end;  // one by one
  while (end < text.size()) {
    const size_t n = read_character(text, end, &code);
    if (letter_kind(code) != kind) break;
    end += n;
  }
  return end;
}

}  // namespace

Result<std::unique_ptr<ClipBpe>> ClipBpe::open(std::span<const uint8_t> data) {
  const auto json = nlohmann::json::parse(data.begin(), data.end(), nullptr,
                                          /*allow_exceptions=*/false);
  ZT_ASSIGN_OR_RETURN(BytePairs pairs, BytePairs::open(json, "CLIP vocabulary", kWordEnd));
  std::unique_ptr<ClipBpe> made(new ClipBpe(std::move(pairs)));
  for (const auto& [name, to] : {std::pair{kStart, &made->start_}, std::pair{kEnd, &made->end_}}) {
    const auto id = made->pairs_.find(std::string(name));
    if (!id)
      return error(Code::kDataLoss,
                   "the tokenizer is no CLIP vocabulary with merges: ", "it has no piece '", name,
                   "'");
    *to = *id;
  }
  made->pairs_.stand_in(made->end_);  // as transformers has it
  return made;
}

Result<std::vector<int32_t>> ClipBpe::pieces(std::string_view text, size_t enough) const {
  std::vector<int32_t> ids;
  while (!text.empty() && ids.size() <= enough) {
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
    pairs_.add_word(text.substr(at, end - at), ids);
    at = end;
  }
}

}  // namespace zoetrope
