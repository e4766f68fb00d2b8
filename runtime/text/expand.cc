#include "runtime/text/expand.h"

#include <algorithm>
#include <cctype>
#include <set>

#include "graph/philox.h"

namespace zoetrope {
namespace {

std::vector<std::string> words_of(const std::string& text) {
  std::vector<std::string> words;
  std::string word;
  for (const char c : text + " ") {
    const auto byte = static_cast<unsigned char>(c);
    if (std::isalnum(byte) || c == '-' || byte >= 0x80) {
      word += static_cast<char>(std::tolower(byte));
    } else if (!word.empty()) {
      words.push_back(std::move(word));
      word.clear();
    }
  }
  return words;
}

// Where `phrase` begins among `words`; its end: nowhere.
size_t find_phrase(const std::vector<std::string>& words, const std::vector<std::string>& phrase) {
  const auto it = std::search(words.begin(), words.end(), phrase.begin(), phrase.end());
  return static_cast<size_t>(it - words.begin());
}

const std::set<std::string>& fillers() {
  static const std::set<std::string> all{"a", "an", "the", "is", "are", "and", "of", "in", "it"};
  return all;
}

}  // namespace

Result<ExpandedPrompt> expand_by_pattern(const Expansion& e, const std::string& prompt,
                                         uint64_t seed) {
  std::vector<std::string> words = words_of(prompt);
  std::vector<std::string> chosen;
  for (size_t i = 0; i < e.slots.size(); ++i) {
    const Expansion::Slot& slot = e.slots[i];
    // The longest first, so that "grows bigger" is not "grows".
    std::vector<std::pair<std::vector<std::string>, const std::string*>> phrases;
    for (const std::string& word : slot.words) phrases.emplace_back(words_of(word), &word);
    std::stable_sort(phrases.begin(), phrases.end(),
                     [](const auto& a, const auto& b) { return a.first.size() > b.first.size(); });
    const std::string* found = nullptr;
    for (const auto& [phrase, word] : phrases) {
      const size_t at = find_phrase(words, phrase);
      if (phrase.empty() || at == words.size()) continue;
      if (found != nullptr)
        return error(Code::kUnsupported, "the prompt has both '", *found, "' and '", *word,
                     "' and is left as it is");
      found = word;
      words.erase(words.begin() + static_cast<int64_t>(at),
                  words.begin() + static_cast<int64_t>(at + phrase.size()));
    }
    const uint32_t drawn = philox_block(seed, 0, i)[0];
    chosen.push_back(found != nullptr ? *found : slot.words[drawn % slot.words.size()]);
  }
  ExpandedPrompt out;
  for (const std::string& word : words)
    if (!fillers().contains(word)) out.left_out.push_back(word);
  // Once from left to right: what was put in is not looked at again.
  for (size_t at = 0; at < e.pattern.size();) {
    size_t slot = 0;
    const auto stands_here = [&](const Expansion::Slot& s) {
      return e.pattern[at] == '{' && e.pattern.compare(at + 1, s.name.size(), s.name) == 0 &&
             e.pattern.compare(at + 1 + s.name.size(), 1, "}") == 0;
    };
    while (slot < e.slots.size() && !stands_here(e.slots[slot])) ++slot;
    if (slot == e.slots.size()) {
      out.prompt += e.pattern[at++];
    } else {
      out.prompt += chosen[slot];
      at += e.slots[slot].name.size() + 2;
    }
  }
  return out;
}

}  // namespace zoetrope
