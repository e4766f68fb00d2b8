// Qwen's tokenizer against transformers', from what make_qwen_fixtures.py wrote.
#include "runtime/text/byte_bpe.h"

#include <doctest/doctest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "converters/qwen3.h"
#include "tests/support/temporary_folder.h"

using namespace zoetrope;
using nlohmann::json;

namespace {

const std::string kData = ZOETROPE_SOURCE_DIR "/tests/text/data/qwen/";

std::string refusal(const json& data) {
  const std::string text = data.dump();
  const auto made = ByteBpe::open({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
  return made.ok() ? "" : std::string(made.status().message());
}

}  // namespace

TEST_CASE("Qwen's ids are transformers' for hard strings") {
  const auto data = read_qwen_tokenizer(kData);
  REQUIRE_MESSAGE(data.ok(), data.status().message());
  const auto bpe = ByteBpe::open(*data);
  REQUIRE_MESSAGE(bpe.ok(), bpe.status().message());
  CHECK((*bpe)->size() == 527);
  const json cases = json::parse(std::ifstream(kData + "ids.json"));
  CHECK(cases.size() >= 500);
  for (const json& c : cases) {
    const std::string text = c[0];
    CAPTURE(text);
    const auto got = (*bpe)->encode(text, -1, -1, 100000);
    REQUIRE(got.ok());
    CHECK(got->ids == c[1].get<std::vector<int32_t>>());
  }
}

TEST_CASE("a long text of added pieces takes no time to speak of") {
  const auto data = read_qwen_tokenizer(kData);
  REQUIRE(data.ok());
  const auto bpe = ByteBpe::open(*data);
  REQUIRE(bpe.ok());
  std::string text;
  for (int i = 0; i < 100000; ++i) text += "<|im_end|>";
  const auto got = (*bpe)->encode(text, -1, -1, 1 << 20);
  REQUIRE(got.ok());
  CHECK(got->ids == std::vector<int32_t>(100000, 522));
}

TEST_CASE("a byte-level vocabulary that is none, or cut another way, is refused") {
  const auto data = read_qwen_tokenizer(kData);
  REQUIRE(data.ok());
  const json good = json::parse(data->begin(), data->end());
  CHECK(refusal(good).empty());
  const auto changed = [&](const char* where, json value) {
    json copy = good;
    copy[json::json_pointer(where)] = std::move(value);
    return refusal(copy);
  };
  CHECK(changed("/added/<|im_end|>", -1).find("'<|im_end|>' has the id -1") != std::string::npos);
  CHECK(changed("/added", 3).find("added") != std::string::npos);
  CHECK(changed("/merges/0", "a c d").find("merge 0") != std::string::npos);
  CHECK(changed("/vocab", {{"a", 1}}).find("merge 0") != std::string::npos);
  CHECK(refusal({{"vocab", {{"a", 1}}}, {"merges", json::array()}}).find("some bytes") !=
        std::string::npos);
  const TemporaryFolder folder;
  const auto file = [&](const char* where, json value) {
    json copy = json::parse(std::ifstream(kData + "tokenizer.json"));
    copy[json::json_pointer(where)] = std::move(value);
    std::ofstream(folder.file("tokenizer.json")) << copy.dump();
    const auto read = read_qwen_tokenizer(folder.path());
    return read.ok() ? "" : std::string(read.status().message());
  };
  CHECK(file("/version", "1.0").empty());
  CHECK(file("/normalizer/type", "NFKC").find("NFC") != std::string::npos);
  CHECK(file("/pre_tokenizer/pretokenizers/0/pattern/Regex", "\\s+").find("pattern") !=
        std::string::npos);
  CHECK(file("/added_tokens/1/lstrip", true).find("as it stands") != std::string::npos);
  CHECK(file("/model/end_of_word_suffix", "</w>").find("end with ''") != std::string::npos);
}
