// Cleaning and SentencePiece against the libraries, from text.json that make_fixtures.py wrote.
#include <doctest/doctest.h>

#include <cstring>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <set>
#include <string_view>

#include "runtime/text/clean.h"
#include "runtime/text/expand.h"
#include "runtime/text/sentencepiece.h"

using namespace zoetrope;
using nlohmann::json;

namespace {

const std::string kData = ZOETROPE_SOURCE_DIR "/tests/text/data/";

const json& fixtures() {
  static const json data = json::parse(std::ifstream(kData + "text.json"));
  return data;
}

std::vector<uint8_t> bytes_of(const std::string& name) {
  std::ifstream file(kData + name + ".model", std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::unique_ptr<SentencePiece> open(const std::string& name) {
  auto model = SentencePiece::open(bytes_of(name));
  REQUIRE_MESSAGE(model.ok(), model.status().message());
  return std::move(*model);
}

}  // namespace

TEST_CASE("prompts are cleaned as ftfy, html and a pipeline's \\s+ clean them") {
  for (const json& c : fixtures()["clean"]) {
    const std::string text = c[0];
    CAPTURE(text);
    CHECK(clean_prompt(text) == c[1].get<std::string>());
  }
}

TEST_CASE("ids are the library's, with and without bytes and normalisation") {
  for (const char* name : {"bytes", "identity"}) {
    CAPTURE(name);
    const auto model = open(name);
    for (const json& c : fixtures()["tokens"][name]) {
      const std::string text = c[0];
      CAPTURE(text);
      auto expected = c[1].get<std::vector<int32_t>>();
      const auto got = model->encode(text, -1, -1, 1000);
      REQUIRE(got.ok());
      CHECK(got->ids == expected);
      CHECK(!got->truncated);
      // With an end, cut to eight.
      const auto cut = model->encode(text, -1, 1, 8);
      REQUIRE(cut.ok());
      CHECK(cut->truncated == (expected.size() > 7));
      expected.resize(std::min<size_t>(expected.size(), 7));
      expected.push_back(1);
      CHECK(cut->ids == expected);
    }
  }
}

TEST_CASE("a damaged model is an error or a tokenizer, never an exception") {
  const std::vector<uint8_t> whole = bytes_of("identity");
  uint32_t state = 1;
  const auto next = [&] { return state = state * 1664525 + 1013904223, state >> 8; };
  int refused = 0;
  for (int i = 0; i < 400; ++i) {
    std::vector<uint8_t> model = whole;
    for (int k = 0; k < 3; ++k) model[next() % model.size()] = static_cast<uint8_t>(next());
    if (i % 4 == 0) model.resize(next() % model.size());
    const auto opened = SentencePiece::open(model);
    refused += !opened.ok();
    if (opened.ok()) (void)(*opened)->encode("A red ball rolls \xc3\xa9 over", -1, 1, 64).ok();
  }
  CHECK(refused > 100);
  CHECK(refused < 400);
}

TEST_CASE("rules of normalisation that point outside themselves are refused") {
  const std::vector<uint8_t> whole = bytes_of("bytes");
  // The rules begin with the length of their trie; units of four bytes follow, then texts.
  const std::string_view text(reinterpret_cast<const char*>(whole.data()), whole.size());
  const size_t name = text.find("nmt_nfkc");
  REQUIRE(name != std::string_view::npos);
  const size_t length_at = name + 8 + 4;  // tag and a length of three bytes
  uint32_t trie = 0;
  std::memcpy(&trie, &whole[length_at], 4);
  REQUIRE(trie % 1024 == 0);
  REQUIRE(length_at + 4 + trie < whole.size());
  const auto refused = [&](size_t at, uint32_t word) {
    std::vector<uint8_t> model = whole;
    std::memcpy(&model[at], &word, 4);
    const auto opened = SentencePiece::open(model);
    return !opened.ok() && opened.status().code() == Code::kDataLoss;
  };
  CHECK(!refused(length_at, trie));  // as it was
  CHECK(refused(length_at, trie - 512));
  CHECK(refused(length_at, 0));
  CHECK(refused(length_at, trie + 1000000));
  CHECK(refused(length_at + 4, 0x7fffff00));  // the root's children lie beyond
  // Every unit that may be followed: with the largest offset, and as a value that is too large.
  int found = 0;
  for (size_t unit = 1; unit < 4000; ++unit) {
    uint32_t word = 0;
    std::memcpy(&word, &whole[length_at + 4 + 4 * unit], 4);
    if (word >> 31 != 0) found += refused(length_at + 4 + 4 * unit, 0xfffffff0);
  }
  CHECK(found > 0);
}

TEST_CASE("a tokenizer that is none, and ids that it has not, are refused") {
  const auto message = [](const auto& result) { return result.status().message(); };
  CHECK(message(SentencePiece::open({})).find("SentencePiece") != std::string::npos);
  std::vector<uint8_t> model = bytes_of("identity");
  model.resize(model.size() / 2);
  CHECK(message(SentencePiece::open(model)).find("SentencePiece") != std::string::npos);
  const auto plain = open("identity");
  CHECK(message(plain->encode("x", -1, 270, 9)).find("beyond the tokenizer's 270") !=
        std::string::npos);
  CHECK(message(plain->encode("x", 0, 1, 1)).find("bos and eos alone") != std::string::npos);
}

TEST_CASE("what stands in quotation marks is read alone where a model wants it so") {
  CHECK(quoted_parts("a sign says \"Open\" and \xe2\x80\x9clate\xe2\x80\x9d") == "Open late");
  CHECK(quoted_parts("no marks").empty());
  CHECK(quoted_parts("\"one\" and an open \"mark") == "one");
  CHECK(quoted_parts("\"\"").empty());
}

TEST_CASE("a pattern keeps a prompt's words, draws the others by the seed and says what is left") {
  Expansion e;
  e.pattern = "a {colour} {thing} {does}";
  e.slots = {{"does", {"jumps", "jumps up"}},
             {"colour", {"red", "green", "blue", "white"}},
             {"thing", {"ball", "box"}}};
  const auto expand = [&](const std::string& prompt, uint64_t seed) {
    const auto got = expand_by_pattern(e, prompt, seed);
    REQUIRE_MESSAGE(got.ok(), got.status().message());
    return *got;
  };
  CHECK(expand("The RED box jumps up!", 1).prompt == "a red box jumps up");
  CHECK(expand("a redder box", 1).left_out == std::vector<std::string>{"redder"});
  CHECK(expand("box", 5).prompt == expand("box", 5).prompt);
  std::set<std::string> drawn;
  for (uint64_t seed = 0; seed < 32; ++seed) drawn.insert(expand("a box", seed).prompt);
  CHECK(drawn.size() == 8);  // every colour with every movement
  CHECK(expand_by_pattern(e, "a red and a blue box", 1).status().code() == Code::kUnsupported);
  // What is put in is not looked at again, whatever it looks like.
  Expansion hostile = e;
  for (Expansion::Slot& slot : hostile.slots)
    slot.words = {"{" + slot.name + "}{" + slot.name + "}"};
  const auto once = expand_by_pattern(hostile, "x", 1);
  REQUIRE(once.ok());
  CHECK(once->prompt.size() < 10 * e.pattern.size());
}
