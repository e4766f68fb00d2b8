// Gemma 4's tokenizer against transformers', from what make_gemma_fixtures.py wrote.
#include "runtime/text/piece_bpe.h"

#include <doctest/doctest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "converters/gemma.h"
#include "tests/support/temporary_folder.h"

using namespace zoetrope;
using nlohmann::json;

namespace {

const std::string kData = ZOETROPE_SOURCE_DIR "/tests/text/data/gemma/";

std::unique_ptr<PieceBpe> open() {
  const auto read = read_gemma_tokenizer(kData);
  REQUIRE_MESSAGE(read.ok(), read.status().message());
  CHECK(read->kind == "piece_bpe");
  auto made = PieceBpe::open(read->data);
  REQUIRE_MESSAGE(made.ok(), made.status().message());
  return std::move(*made);
}

}  // namespace

TEST_CASE("Gemma 4's ids are transformers' for hard strings") {
  const auto bpe = open();
  CHECK(bpe->size() == 687);
  const json cases = json::parse(std::ifstream(kData + "ids.json"));
  CHECK(cases.size() >= 500);
  for (const json& c : cases) {
    const std::string text = c[0];
    CAPTURE(text);
    const auto got = bpe->encode(text, 2, -1, 100000);
    REQUIRE(got.ok());
    CHECK_FALSE(got->truncated);
    CHECK(got->ids == c[1].get<std::vector<int32_t>>());
    // What is cut off is the end.
    const auto want = c[1].get<std::vector<int32_t>>();
    const size_t part = std::min<size_t>(want.size(), 5);
    const auto cut = bpe->encode(text, 2, -1, static_cast<int64_t>(part));
    REQUIRE(cut.ok());
    CHECK(cut->truncated == (part < want.size()));
    CHECK(cut->ids == std::vector<int32_t>(want.begin(), want.begin() + int64_t(part)));
  }
}

TEST_CASE("a vocabulary of pieces that is none, or cut another way, is refused") {
  const auto read = read_gemma_tokenizer(kData);
  REQUIRE(read.ok());
  const auto refusal = [&](const char* where, const json& value) {
    json copy = json::parse(read->data.begin(), read->data.end());
    copy[json::json_pointer(where)] = value;
    const std::string text = copy.dump();
    const auto made = PieceBpe::open({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
    return made.ok() ? "" : std::string(made.status().message());
  };
  CHECK(refusal("/added/<mask>", 4).empty());
  CHECK(refusal("/added/<mask>", -4).find("'<mask>' has the id -4") != std::string::npos);
  CHECK(refusal("/vocab/<0x0A>", "x").find("'<0x0A>' has the id") != std::string::npos);
  CHECK(refusal("/merges/0", "a b c").find("merge 0") != std::string::npos);
  CHECK(refusal("/vocab", json::object()).find("merge 0") != std::string::npos);
  const TemporaryFolder folder;
  const auto file = [&](const char* where, const json& value) {
    json copy = json::parse(std::ifstream(kData + "tokenizer.json"));
    copy[json::json_pointer(where)] = value;
    std::ofstream(folder.file("tokenizer.json")) << copy.dump();
    const auto made = read_gemma_tokenizer(folder.path());
    return made.ok() ? "" : std::string(made.status().message());
  };
  CHECK(read_gemma_tokenizer(folder.path()).status().message().find("neither") !=
        std::string::npos);
  CHECK(file("/version", "1.0").empty());
  CHECK(file("/normalizer/content", "_").find("U+2581") != std::string::npos);
  CHECK(file("/pre_tokenizer/pattern/String", ",").find("cut before") != std::string::npos);
  CHECK(file("/model/byte_fallback", false).find("another way") != std::string::npos);
  CHECK(file("/added_tokens/1/lstrip", true).find("as it stands") != std::string::npos);
  CHECK(file("/added_tokens/2/id", 7).find("'<bos>' has not the id 2") != std::string::npos);
}
