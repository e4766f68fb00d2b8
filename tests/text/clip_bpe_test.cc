// CLIP's tokenizer against transformers', from what make_clip_fixtures.py wrote.
#include "runtime/text/clip_bpe.h"

#include <doctest/doctest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "converters/clip_text.h"
#include "tests/support/temporary_folder.h"

using namespace zoetrope;
using nlohmann::json;

namespace {

const std::string kData = ZOETROPE_SOURCE_DIR "/tests/text/data/clip/";

std::unique_ptr<ClipBpe> open(const std::string& path) {
  const auto data = read_clip_tokenizer(path);
  REQUIRE_MESSAGE(data.ok(), data.status().message());
  auto made = ClipBpe::open(*data);
  REQUIRE_MESSAGE(made.ok(), made.status().message());
  return std::move(*made);
}

std::string refusal(const json& data) {
  const std::string text = data.dump();
  const auto made = ClipBpe::open({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
  return made.ok() ? "" : std::string(made.status().message());
}

}  // namespace

TEST_CASE("CLIP's ids are transformers' for hard strings, from either form of the files") {
  const json cases = json::parse(std::ifstream(kData + "ids.json"));
  CHECK(cases.size() >= 500);
  for (const char* form : {"", "tokenizer.json"}) {
    const auto bpe = open(kData + form);
    for (const json& c : cases) {
      const std::string text = c[0];
      CAPTURE(text);
      const auto got = bpe->encode(text, -1, -1, 10000);
      REQUIRE(got.ok());
      CHECK(got->ids == c[1].get<std::vector<int32_t>>());
    }
  }
}

TEST_CASE("long words take no time to speak of, and long texts are cut before their end") {
  const auto bpe = open(kData);
  const std::string text(1 << 20, 'a');
  const auto got = bpe->encode(text, 3, 4, 77);
  REQUIRE(got.ok());
  CHECK(got->truncated);
  CHECK(got->ids.size() == 77);
  CHECK(got->ids.front() == 3);
  CHECK(got->ids.back() == 4);
  CHECK(bpe->encode("a", -1, static_cast<int>(bpe->size()), 9).status().message().find("beyond") !=
        std::string::npos);
}

TEST_CASE("a vocabulary that is none is refused") {
  const json good = {
      {"vocab", {{"<|startoftext|>", 0}, {"<|endoftext|>", 1}, {"a", 2}, {"b", 3}, {"ab", 4}}},
      {"merges", {"a b"}}};
  CHECK(refusal(good).empty());
  const auto changed = [&](const char* where, json value) {
    json data = good;
    data[json::json_pointer(where)] = std::move(value);
    return refusal(data);
  };
  CHECK(changed("/vocab/a", -1).find("'a' has the id -1") != std::string::npos);
  CHECK(changed("/vocab/a", "x").find("'a'") != std::string::npos);
  CHECK(changed("/merges/0", "a c").find("merge 0") != std::string::npos);
  CHECK(changed("/merges/0", "ab").find("not two pieces") != std::string::npos);
  CHECK(changed("/merges", 7).find("merges") != std::string::npos);
  CHECK(changed("/vocab", {{"a", 1}, {"b", 2}, {"ab", 3}}).find("<|startoftext|>") !=
        std::string::npos);
  CHECK_FALSE(ClipBpe::open({}).ok());
  const TemporaryFolder folder;
  CHECK(read_clip_tokenizer(folder.path()).status().message().find("tokenizer.json") !=
        std::string::npos);
  std::ofstream(folder.file("tokenizer.json")) << R"({"model": {"type": "Unigram"}})";
  CHECK(read_clip_tokenizer(folder.path()).status().message().find("BPE") != std::string::npos);
}
