#include "runtime/text/added_texts.h"

#include <doctest/doctest.h>

#include <chrono>
#include <map>
#include <nlohmann/json.hpp>
#include <random>

using namespace zoetrope;
using nlohmann::json;

namespace {

// Plain bytes are their own ids.
std::vector<int32_t> cut(const json& added, std::string_view text, size_t enough = 1 << 30) {
  const auto texts = AddedTexts::open({{"added", added}}, "vocabulary");
  REQUIRE_MESSAGE(texts.ok(), texts.status().message());
  std::vector<int32_t> ids;
  const auto plain = [](std::string_view part, std::vector<int32_t>* to) -> Status {
    for (const char c : part) to->push_back(static_cast<unsigned char>(c));
    return Status();
  };
  REQUIRE(texts->cut(text, plain, enough, &ids).ok());
  return ids;
}

}  // namespace

TEST_CASE("of the added texts in a text the first is taken, and of two at one place the longer") {
  const json added{{"<a", 1000}, {"<a>", 1001}, {"<a>b>", 1002}, {"\xff", 1003}, {"b", 1004}};
  CHECK(cut(added, "<a>b<a>b>\xff<").size() == 5);
  CHECK(cut(added, "<a>b<a>b>\xff<") == std::vector<int32_t>{1001, 1004, 1002, 1003, '<'});
  CHECK(cut(added, "<<a") == std::vector<int32_t>{'<', 1000});
  CHECK(cut(added, "<a<a<a<a", 1) == std::vector<int32_t>{1000, 1000});

  std::mt19937 random(7);
  const auto letters = [&](size_t count) {
    std::string text;
    for (size_t i = 0; i < count; ++i) text += "ab\xc3"[random() % 3];
    return text;
  };
  for (int round = 0; round < 200; ++round) {
    std::map<std::string, int32_t> some;
    for (int i = 0; i < 8; ++i) some[letters(1 + random() % 5)] = 1000 + i;
    const std::string text = letters(60);
    std::vector<int32_t> wanted;
    for (size_t at = 0; at < text.size();) {
      const std::pair<const std::string, int32_t>* best = nullptr;
      for (const auto& each : some)
        if (text.compare(at, each.first.size(), each.first) == 0 &&
            (best == nullptr || each.first.size() > best->first.size()))
          best = &each;
      wanted.push_back(best ? best->second : static_cast<unsigned char>(text[at]));
      at += best ? best->first.size() : 1;
    }
    json added_then = json::object();
    for (const auto& [key, id] : some) added_then[key] = id;
    CHECK(cut(added_then, text) == wanted);
  }
}

TEST_CASE("thousands of added texts that all but stand in a long text cost little") {
  json added = json::object();
  for (int i = 0; i < 6400; ++i) added["<extra_" + std::to_string(i) + ">"] = 1000 + i;
  const std::string text(1 << 20, '<');
  const auto begin = std::chrono::steady_clock::now();
  CHECK(cut(added, text).size() == text.size());
  CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(5));  // was 70
}
