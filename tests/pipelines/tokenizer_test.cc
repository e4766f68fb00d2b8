#include "runtime/engine/tokenizer.h"
#include "graph/text.h"

#include <doctest/doctest.h>

using namespace zoetrope;

TEST_CASE("bytes are wrapped in BOS and EOS") {
  auto tokens = tokenize_bytes("a\xc3\xa9", 256, 257, 256);
  REQUIRE(tokens.ok());
  CHECK(tokens->ids == std::vector<int32_t>{256, 'a', 0xc3, 0xa9, 257});
  CHECK_FALSE(tokens->truncated);
  CHECK(tokenize_bytes("", 256, 257, 256)->ids == std::vector<int32_t>{256, 257});
}

TEST_CASE("a long prompt is cut at a character's border and says so") {
  std::string prompt(100000, 'x');
  auto tokens = tokenize_bytes(prompt, 256, 257, 256);
  REQUIRE(tokens.ok());
  CHECK(tokens->truncated);
  CHECK(tokens->ids.size() == 256);
  prompt = "abc\xc3\xa9";  // room for 4 bytes: the two-byte character does not fit
  tokens = tokenize_bytes(prompt, 256, 257, 6);
  REQUIRE(tokens.ok());
  CHECK(tokens->ids == std::vector<int32_t>{256, 'a', 'b', 'c', 257});
}

TEST_CASE("text that is not UTF-8 is refused with the offset") {
  // Overlong "/", a lone continuation, a surrogate, a cut sequence, a value beyond U+10FFFF.
  for (const char* bad :
       {"ab\xc0\xaf", "ab\x80", "ab\xed\xa0\x80", "ab\xe2\x82", "ab\xf4\x90\x80\x80"}) {
    CHECK(find_invalid_utf8(bad) == 2);
    CHECK_FALSE(tokenize_bytes(bad, 256, 257, 256).ok());
  }
  CHECK(find_invalid_utf8("snow \xe2\x98\x83 and \xf0\x9f\x8e\xac") == std::string_view::npos);
}

TEST_CASE("unknown words are reported once, whatever their case") {
  const std::vector<std::string> vocabulary{"a", "ball", "red"};
  CHECK(unknown_words("A red BALL, a dragon; Dragon!", vocabulary) ==
        std::vector<std::string>{"dragon"});
  CHECK(unknown_words("", vocabulary).empty());
}

TEST_CASE("the nearest word is suggested, and none where nothing is near") {
  const std::vector<std::string> vocabulary{"a",    "ball", "bounces", "bouncing", "circle",
                                            "pink", "red",  "ring",    "spins",    "triangle"};
  CHECK(nearest_word("redd", vocabulary) == "red");           // a letter too many
  CHECK(nearest_word("bal", vocabulary) == "ball");           // too few
  CHECK(nearest_word("rign", vocabulary) == "ring");          // swapped
  CHECK(nearest_word("trianlge", vocabulary) == "triangle");  // one step, not two
  CHECK(nearest_word("pinc", vocabulary) == "pink");
  CHECK(nearest_word("bounce", vocabulary) == "bounces");
  CHECK(nearest_word("dragon", vocabulary).empty());
  CHECK(nearest_word("xyz", vocabulary).empty());
  CHECK(nearest_word(std::string(100000, 'a'), vocabulary).empty());
  CHECK(nearest_word("red", {}).empty());
}

TEST_CASE("models without special ids, and with one") {
  CHECK(tokenize_bytes("ab", -1, -1, 8)->ids == std::vector<int32_t>{'a', 'b'});
  CHECK(tokenize_bytes("ab", -1, 1, 2)->ids == std::vector<int32_t>{'a', 1});
  CHECK(tokenize_bytes("", -1, -1, 8)->ids.empty());
}
