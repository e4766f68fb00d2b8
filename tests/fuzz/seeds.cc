#include "tests/fuzz/seeds.h"

#include <doctest/doctest.h>

#include <chrono>
#include <cstring>

#include "converters/checkpoint.h"
#include "converters/clip_text.h"
#include "converters/gemma.h"
#include "converters/qwen3.h"
#include "graph/format/model_generated.h"
#include "tests/format/small_model.h"
#include "tests/fuzz/targets.h"
#include "tests/patience.h"

namespace zoetrope {
namespace {

namespace fbs = ::flatbuffers;

std::vector<uint8_t> model_of(const fbs::FlatBufferBuilder& b) {
  const uint64_t root = b.GetSize();
  std::vector<uint8_t> bytes(kModelHeaderBytes + root, 0);
  std::memcpy(bytes.data(), kModelMagic, sizeof(kModelMagic));
  bytes[8] = kModelVersion;
  std::memcpy(bytes.data() + 24, &root, 8);
  std::memcpy(bytes.data() + kModelHeaderBytes, b.GetBufferPointer(), root);
  repair_header(&bytes);
  return bytes;
}

void expect_quick_refusal(const fbs::FlatBufferBuilder& b) {
  const auto bytes = model_of(b);
  const auto begin = std::chrono::steady_clock::now();
  CHECK(!fuzz_model(bytes));
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  CHECK(seconds.count() < 5 * patience());
}

}  // namespace

std::vector<uint8_t> safetensors_seed() {
  const std::string header =
      R"({"__metadata__":{"k":"v"},"a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},)"
      R"("b":{"dtype":"BF16","shape":[3],"data_offsets":[16,22]}})";
  std::vector<uint8_t> bytes(8 + header.size() + 22, 7);
  const uint64_t length = header.size();
  std::memcpy(bytes.data(), &length, 8);
  std::memcpy(bytes.data() + 8, header.data(), header.size());
  return bytes;
}

std::vector<uint8_t> gguf_seed() {
  return read_bytes(std::string(ZOETROPE_SOURCE_DIR) + "/tests/format/data/blocks.gguf");
}

std::vector<uint8_t> torch_seed() {
  auto bytes = read_bytes(std::string(ZOETROPE_SOURCE_DIR) + "/tests/format/data/tiny.pt");
  // Without checksums, so that changes reach what reads the members.
  for (size_t i = 0; i + 20 <= bytes.size(); ++i)
    if (std::memcmp(&bytes[i], "PK\1\2", 4) == 0) std::memset(&bytes[i + 16], 0, 4);
  return bytes;
}

std::vector<uint8_t> toybox_config_seed() {
  const auto file = open_safetensors(std::string(ZOETROPE_SOURCE_DIR) +
                                     "/tests/parity/data/toybox_pipeline.safetensors");
  REQUIRE(file.ok());
  const std::string& text = (*file)->metadata().at("config");
  return {text.begin(), text.end()};
}

std::vector<uint8_t> sentencepiece_seed() {
  return read_bytes(std::string(ZOETROPE_SOURCE_DIR) + "/tests/text/data/identity.model");
}

std::vector<uint8_t> clip_bpe_seed() {
  const auto merge =
      read_clip_tokenizer(std::string(ZOETROPE_SOURCE_DIR) + "/tests/text/data/clip");
  REQUIRE(merge.ok());
  return {merge->begin(), merge->end()};
}

std::vector<uint8_t> piece_bpe_seed() {
  const auto read =
      read_gemma_tokenizer(std::string(ZOETROPE_SOURCE_DIR) + "/tests/text/data/gemma");
  REQUIRE(read.ok());
  return read->data;
}

std::vector<uint8_t> byte_bpe_seed() {
  const auto read = read_qwen_tokenizer(std::string(ZOETROPE_SOURCE_DIR) + "/tests/text/data/qwen");
  REQUIRE(read.ok());
  return *read;
}

void run_shared_table_bomb() {
  constexpr size_t kMany = 200000;
  {  // one long word, listed again and again: 200,000 × 1 MB
    fbs::FlatBufferBuilder b;
    const auto word = b.CreateString(std::string(1 << 20, 'w'));
    const auto words = b.CreateVector(std::vector<fbs::Offset<fbs::String>>(kMany, word));
    const auto name = b.CreateString("bomb");
    fb::ModelBuilder model(b);
    model.add_name(name);
    model.add_vocabulary(words);
    b.Finish(model.Finish(), fb::ModelIdentifier());
    expect_quick_refusal(b);
  }
  {  // one node with long lists, listed again and again
    fbs::FlatBufferBuilder b;
    const std::vector<int32_t> ids(4096, 0);
    const std::vector<double> numbers(4096, 0.5);
    const auto attr =
        fb::CreateAttr(b, b.CreateString("x"), 5, false, 0, 0, b.CreateVector(numbers));
    const auto attrs = b.CreateVector(std::vector<fbs::Offset<fb::Attr>>(64, attr));
    const auto node = fb::CreateNode(b, b.CreateString("silu"), b.CreateString("n"),
                                     b.CreateVector(ids), b.CreateVector(ids), attrs);
    const auto nodes = b.CreateVector(std::vector<fbs::Offset<fb::Node>>(kMany, node));
    const auto graph = fb::CreateGraph(b, b.CreateString("g"), 0, nodes);
    const auto graphs = b.CreateVector(std::vector<fbs::Offset<fb::Graph>>(64, graph));
    const auto name = b.CreateString("bomb");
    fb::ModelBuilder model(b);
    model.add_name(name);
    model.add_components(graphs);
    b.Finish(model.Finish(), fb::ModelIdentifier());
    expect_quick_refusal(b);
  }
}

}  // namespace zoetrope
