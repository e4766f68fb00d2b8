// Damages small valid files in every place, thousands of times: an error or a usable result must
// come of it. Run it under the asan preset to see more. Deterministic: a failure names its
// mutation.
#include <doctest/doctest.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "converters/zip.h"
#include "graph/format/recipe.h"
#include "tests/format/small_model.h"
#include "tests/fuzz/byte_changes.h"
#include "tests/fuzz/seeds.h"
#include "tests/fuzz/targets.h"
#include "tests/patience.h"

using namespace zoetrope;

namespace {

struct Tally {
  int accepted = 0, refused = 0;
};

// The slowest single run may not take longer than this, sanitizers included.
constexpr double kLimitSeconds = 5;

void run_one(bool (*target)(std::span<const uint8_t>), const Bytes& bytes, Tally* tally) {
  const auto begin = std::chrono::steady_clock::now();
  // A copy of exactly the size, so that a sanitizer sees a read beyond it.
  const std::unique_ptr<uint8_t[]> exact(new uint8_t[bytes.size()]);
  std::copy(bytes.begin(), bytes.end(), exact.get());
  (target({exact.get(), bytes.size()}) ? tally->accepted : tally->refused)++;
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  REQUIRE(seconds.count() < kLimitSeconds * patience());
}

// Every byte before `last` is changed alone; then come random changes of all of it.
Tally mutate(const std::string& name, bool (*target)(std::span<const uint8_t>), const Bytes& seed,
             size_t last, int random_rounds) {
  Tally tally;
  INFO("target ", name);
  run_one(target, seed, &tally);
  CHECK_MESSAGE(tally.accepted == 1, "the unchanged seed of ", name, " was refused");
  for (size_t i = 0; i < std::min(last, seed.size()); ++i) {
    CAPTURE(i);
    Bytes changed = seed;
    for (const int value : {0x00, 0xff, seed[i] ^ 0x01, seed[i] ^ 0x80}) {
      changed[i] = static_cast<uint8_t>(value);
      if (changed == seed) continue;
      run_one(target, changed, &tally);
    }
    if (i % 8 == 0)
      run_one(target, Bytes(seed.begin(), seed.begin() + static_cast<ptrdiff_t>(i)), &tally);
  }
  for (int round = 0; round < random_rounds; ++round) {
    CAPTURE(round);
    Draw draw(static_cast<uint64_t>(round) + 1000);
    Bytes changed = seed;
    for (uint32_t k = draw.below(4) + 1; k > 0 && !changed.empty(); --k)
      change_bytes(draw, &changed);
    run_one(target, changed, &tally);
  }
  MESSAGE(name, ": ", tally.accepted, " accepted, ", tally.refused, " refused");
  return tally;
}

Bytes bytes_of(const std::string& text) { return Bytes(text.begin(), text.end()); }

Bytes recipe_seed() { return bytes_of(recipe_to_json(small_video_recipe())); }
Bytes picture_recipe_seed() { return bytes_of(recipe_to_json(small_picture_recipe())); }

constexpr const char* kDims[] = {"floor_div(frames + 7, 8) * height",
                                 "max(min(a, 3), mod(b * 2 - 1, 5))",
                                 "ceil_div(9223372036854775807, 2) - -3"};

}  // namespace

TEST_CASE("what once broke a reader is refused or usable") {
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(std::string(ZOETROPE_SOURCE_DIR) +
                                                               "/tests/fuzz/findings")) {
    const std::string name = entry.path().filename();
    CAPTURE(name);
    const FuzzTarget* target = nullptr;
    for (const FuzzTarget& t : kFuzzTargets)
      if (name.starts_with(std::string(t.name) + "-")) target = &t;
    REQUIRE(target != nullptr);
    Tally tally;
    run_one(target->run, read_bytes(entry.path()), &tally);
    ++files;
  }
  CHECK(files > 0);
}

// Asked for by name: `./dev fuzz` starts from these.
TEST_CASE("write the seeds" * doctest::skip()) {
  const char* folder = std::getenv("ZOETROPE_FUZZ_SEEDS");
  REQUIRE(folder != nullptr);
  const auto put = [&](const std::string& target, const std::string& name, const Bytes& bytes) {
    const std::filesystem::path path = std::filesystem::path(folder) / target;
    std::filesystem::create_directories(path);
    write_bytes(path / name, bytes);
  };
  const TemporaryFolder temporary;
  REQUIRE(write_model(temporary.file("m.zoe"), small_model_info(), small_model_tensors()).ok());
  const Bytes model = read_bytes(temporary.file("m.zoe"));
  for (const char* target : {"model", "model_root"}) put(target, "small", model);
  put("safetensors", "small", safetensors_seed());
  put("gguf", "blocks", gguf_seed());
  const Bytes torch = torch_seed();
  put("torch", "tiny", torch);
  const auto entries = read_zip(torch);
  REQUIRE(entries.ok());
  const auto pickle = entries->at("tiny/data.pkl").bytes;
  put("pickle", "tiny", Bytes(pickle.begin(), pickle.end()));
  put("shards", "two",
      bytes_of(R"({"metadata":{},"weight_map":{"a":"m-1.safetensors","b":"m-2.bin"}})"));
  put("recipe", "explicit", recipe_seed());
  put("recipe", "picture", picture_recipe_seed());
  put("toybox_config", "tiny", toybox_config_seed());
  int index = 0;
  for (const char* text : kDims) put("dim", std::to_string(index++), bytes_of(text));
  put("sentencepiece", "identity", sentencepiece_seed());
  put("clip_bpe", "clip", clip_bpe_seed());
  put("piece_bpe", "gemma", piece_bpe_seed());
  put("byte_bpe", "qwen", byte_bpe_seed());
  put("prompt", "ascii", bytes_of("a small red star bounces on a blue floor"));
  put("prompt", "wide", bytes_of("ein grüner Würfel, 星 und \xF0\x9F\x90\x8E"));
}

TEST_CASE("a damaged model file is refused or usable") {
  const TemporaryFolder folder;
  REQUIRE(write_model(folder.file("m.zoe"), small_model_info(), small_model_tensors()).ok());
  const Bytes seed = read_bytes(folder.file("m.zoe"));
  uint64_t root = 0;
  std::memcpy(&root, seed.data() + 24, 8);
  const size_t last = kModelHeaderBytes + root;
  // Any change of the root is seen by its hash; only the header's 28 reserved bytes may change.
  CHECK(mutate("model", fuzz_model, seed, last, 0).accepted <= 1 + 28 * 4);
  mutate("model", fuzz_model, seed, 0, 500);
  mutate("model_root", fuzz_model_root, seed, last, 6000);
}

TEST_CASE("a root that shares one table many times is refused, quickly") {
  run_shared_table_bomb();
}

TEST_CASE("a damaged safetensors file is refused or usable") {
  const Bytes seed = safetensors_seed();
  mutate("safetensors", fuzz_safetensors, seed, seed.size(), 4000);
}

TEST_CASE("a damaged GGUF file is refused or usable") {
  const Bytes seed = gguf_seed();
  mutate("gguf", fuzz_gguf, seed, 1200, 4000);  // the header, and anywhere
}

TEST_CASE("a damaged PyTorch file is refused or usable") {
  const Bytes seed = torch_seed();
  mutate("torch", fuzz_torch, seed, seed.size(), 6000);
}

TEST_CASE("a damaged recipe is refused or usable") {
  for (const Bytes& seed : {recipe_seed(), picture_recipe_seed()})
    mutate("recipe", fuzz_recipe, seed, seed.size(), 4000);
  Bytes deep(200000, '[');
  Tally tally;
  run_one(fuzz_recipe, deep, &tally);
  CHECK(tally.refused == 1);
}

TEST_CASE("a damaged tokenizer is refused or usable") {
  const Bytes pieces = sentencepiece_seed();
  mutate("sentencepiece", fuzz_sentencepiece, pieces, pieces.size(), 3000);
  mutate("clip_bpe", fuzz_clip_bpe, clip_bpe_seed(), 0, 300);
  mutate("piece_bpe", fuzz_piece_bpe, piece_bpe_seed(), 0, 300);
  mutate("byte_bpe", fuzz_byte_bpe, byte_bpe_seed(), 0, 300);
}

TEST_CASE("a damaged Toybox configuration is refused or usable") {
  const Bytes seed = toybox_config_seed();
  mutate("toybox_config", fuzz_toybox_config, seed, 0, 1500);
}

TEST_CASE("a damaged dimension expression is refused or keeps its value") {
  for (const char* text : kDims) {
    const Bytes seed = bytes_of(text);
    mutate("dim", fuzz_dim, seed, seed.size(), 3000);
  }
  Tally tally;
  for (const char c : {'(', '-', '1', 'a', '+'})
    run_one(fuzz_dim, Bytes(100000, static_cast<uint8_t>(c)), &tally);
}
