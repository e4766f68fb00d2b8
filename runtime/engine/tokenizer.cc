#include "runtime/engine/tokenizer.h"

#include <algorithm>
#include <numeric>
#include <unordered_set>

#include "graph/text.h"

namespace zoetrope {
namespace {

bool is_continuation(char c) { return (static_cast<unsigned char>(c) & 0xc0) == 0x80; }

// Bytes outside ASCII count as letters, so that no word is cut inside a character.
bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || static_cast<unsigned char>(c) >= 0x80;
}

// Optimal string alignment over bytes; `limit` + 1 for anything beyond.
size_t edit_distance(std::string_view a, std::string_view b, size_t limit) {
  if (a.size() > b.size() + limit || b.size() > a.size() + limit) return limit + 1;
  std::vector<size_t> before(b.size() + 1), above(b.size() + 1), row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    std::swap(before, above);
    std::swap(above, row);
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const bool same = a[i - 1] == b[j - 1];
      row[j] = std::min({above[j] + 1, row[j - 1] + 1, above[j - 1] + (same ? 0 : 1)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        row[j] = std::min(row[j], before[j - 2] + 1);
    }
  }
  return row[b.size()];
}

size_t common_beginning(std::string_view a, std::string_view b) {
  const auto ends = std::mismatch(a.begin(), a.end(), b.begin(), b.end());
  return static_cast<size_t>(ends.first - a.begin());
}

}  // namespace

Result<Tokens> tokenize_bytes(std::string_view prompt, int bos, int eos, int64_t max_ids) {
  if (const size_t bad = find_invalid_utf8(prompt); bad != std::string_view::npos)
    return error(Code::kInvalidArgument, "the prompt is not valid UTF-8 at byte ", bad);
  const auto room = static_cast<size_t>(std::max<int64_t>(max_ids - (bos >= 0) - (eos >= 0), 0));
  Tokens tokens;
  if (prompt.size() > room) {
    size_t end = room;
    while (end > 0 && is_continuation(prompt[end])) --end;
    prompt = prompt.substr(0, end);
    tokens.truncated = true;
  }
  if (bos >= 0) tokens.ids.push_back(bos);
  for (char c : prompt) tokens.ids.push_back(static_cast<unsigned char>(c));
  if (eos >= 0) tokens.ids.push_back(eos);
  return tokens;
}

std::vector<std::string> unknown_words(std::string_view prompt,
                                       const std::vector<std::string>& vocabulary) {
  std::vector<std::string> unknown;
  std::unordered_set<std::string> seen;
  for (size_t i = 0; i < prompt.size();) {
    if (!is_letter(prompt[i])) {
      ++i;
      continue;
    }
    std::string word;
    for (; i < prompt.size() && is_letter(prompt[i]); ++i)
      word += static_cast<char>(prompt[i] >= 'A' && prompt[i] <= 'Z' ? prompt[i] + 32 : prompt[i]);
    if (!std::binary_search(vocabulary.begin(), vocabulary.end(), word) && seen.insert(word).second)
      unknown.push_back(std::move(word));
  }
  return unknown;
}

std::string nearest_word(std::string_view word, const std::vector<std::string>& vocabulary) {
  constexpr size_t kLongest = 64;  // no word: the search is quadratic in it
  if (word.size() > kLongest) return "";
  const size_t limit = (word.size() + 2) / 3;
  size_t least = limit + 1;
  std::string_view nearest;
  for (const std::string& known : vocabulary) {
    const size_t distance = edit_distance(word, known, limit);
    if (distance > limit || distance > least) continue;
    if (distance == least && common_beginning(word, known) <= common_beginning(word, nearest))
      continue;
    least = distance;
    nearest = known;
  }
  return std::string(nearest);
}

}  // namespace zoetrope
