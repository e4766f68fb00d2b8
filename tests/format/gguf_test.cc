// GGUF: every type is the package gguf's to the bit, files of known families become models that
// hold it exactly, and damaged files are errors. make_gguf_fixtures.py wrote the files.
#include <doctest/doctest.h>

#include <cstring>

#include "converters/checkpoint.h"
#include "converters/convert.h"
#include "graph/passes/derive_weights.h"
#include "tests/format/small_model.h"

using namespace zoetrope;

namespace {

std::string data(const std::string& name) {
  return std::string(ZOETROPE_SOURCE_DIR) + "/tests/format/data/" + name;
}

std::unique_ptr<Checkpoint> opened(Result<std::unique_ptr<Checkpoint>> checkpoint) {
  REQUIRE_MESSAGE(checkpoint.ok(), checkpoint.status().message());
  return std::move(*checkpoint);
}

bool same_bits(const WeightData& a, const WeightData& b) {
  return a.type == b.type && std::memcmp(a.data, b.data, static_cast<size_t>(a.type.bytes())) == 0;
}

Status open_bytes(const TemporaryFolder& folder, const std::vector<uint8_t>& bytes) {
  write_bytes(folder.file("m.gguf"), bytes);
  return open_checkpoint(folder.file("m.gguf")).status();
}

}  // namespace

TEST_CASE("blocks of every type are what ggml makes of them, to the bit") {
  const auto gguf = opened(open_checkpoint(data("blocks.gguf")));
  const auto expected = opened(open_safetensors(data("blocks.safetensors")));
  REQUIRE(gguf->names() == expected->names());
  CHECK(gguf->names().size() == 14);
  CHECK(gguf->metadata().at("general.architecture") == "wan");
  CHECK(gguf->metadata().at("test.number") == "7");
  CHECK(gguf->metadata().at("test.list") == "3,1,2");
  for (const std::string& name : gguf->names()) {
    CAPTURE(name);
    const auto got = gguf->load(name), want = expected->load(name);
    REQUIRE(got.ok());
    REQUIRE(want.ok());
    if (name == "F16") {
      for (int i = 0; i < 15; ++i)
        CHECK(load_element(DType::kF16, got->data, i) == load_element(DType::kF32, want->data, i));
      continue;
    }
    CHECK(same_bits(*got, *want));
    const auto layout = gguf->encoded(name);
    CHECK(layout.has_value() == (name != "F32" && name != "filters"));
    if (!layout) continue;
    // The parts, as dequantize reads them, are the same numbers.
    const DerivedWeight weight{name,
                               got->type,
                               {{"dims", std::vector<Dim>{2, 512}},
                                {"bits", Dim(layout->bits)},
                                {"group", Dim(layout->group)}},
                               "values",
                               "scale",
                               layout->offset ? "offset" : ""};
    class Parts : public WeightSource {
     public:
      Parts(const Checkpoint& file, const std::string& name) : file_(file), name_(name) {}
      Result<TensorType> type(std::string_view part) const override {
        ZT_ASSIGN_OR_RETURN(const WeightData loaded, load(part));
        return loaded.type;
      }
      Result<WeightData> load(std::string_view part) const override {
        return file_.load_part(name_, part == "values"  ? EncodedPart::kValues
                                      : part == "scale" ? EncodedPart::kScale
                                                        : EncodedPart::kOffset);
      }

     private:
      const Checkpoint& file_;
      const std::string name_;
    };
    const auto numbers = load_derived(Parts(*gguf, name), weight);
    REQUIRE_MESSAGE(numbers.ok(), numbers.status().message());
    CHECK(same_bits(*numbers, *want));
  }
}

TEST_CASE("a Wan in GGUF is the Wan of its numbers, and stays in 8 and 4 bits") {
  const TemporaryFolder folder;
  const auto converted = [&](const char* input, std::optional<DType> dtype, std::string* notice) {
    ConvertOptions options{.input = data(input), .output = folder.file("model.zoe")};
    options.dtype = dtype;
    options.notice = [=](const std::string& text) { *notice += text; };
    const Status status = convert(options);
    REQUIRE_MESSAGE(status.ok(), status.message());
    auto file = ModelFile::open(options.output);
    REQUIRE_MESSAGE(file.ok(), file.status().message());
    return std::move(*file);
  };
  std::string notice;
  const auto numbers = converted("wan_gguf_numbers", DType::kF32, &notice);
  const auto widened = converted("wan_gguf", DType::kF32, &notice);
  CHECK(notice.empty());
  CHECK(widened->info().family == "wan");
  REQUIRE(widened->tensors().size() == numbers->tensors().size());
  for (size_t i = 0; i < numbers->tensors().size(); ++i) {
    CAPTURE(numbers->tensors()[i].name);
    CHECK(widened->tensors()[i].name == numbers->tensors()[i].name);
    CHECK(widened->tensors()[i].hash == numbers->tensors()[i].hash);
  }
  const auto kept = converted("wan_gguf", std::nullopt, &notice);
  CHECK(notice.find("2 tensors stay in 4 bits and 8 in 8") != std::string::npos);
  CHECK(kept->find_tensor("blocks.0.self_attn.q.weight") == nullptr);
  auto bound = zoetrope::bind(
      kept->info().components[0],
      {{"batch", 1}, {"frames", 1}, {"height", 2}, {"width", 2}, {"text_length", 3}});
  REQUIRE_MESSAGE(bound.ok(), bound.status().message());
  const auto derived = derive_weights(*bound);
  REQUIRE(derived.ok());
  CHECK(derived->weights.size() == 10);
  for (const DerivedWeight& w : derived->weights) {
    CAPTURE(w.name);
    const auto made = load_derived(*kept, w);
    const auto want = numbers->load(w.values.substr(0, w.values.rfind(".int")));
    REQUIRE(made.ok());
    REQUIRE_MESSAGE(want.ok(), want.status().message());
    CHECK(same_bits(*made, *want));
  }
}

TEST_CASE("damaged GGUF is an error that says what is wrong") {
  const TemporaryFolder folder;
  const std::vector<uint8_t> good = read_bytes(data("blocks.gguf"));
  CHECK(open_bytes(folder, good).ok());
  const auto refused = [&](size_t at, std::initializer_list<uint8_t> bytes, const char* what) {
    std::vector<uint8_t> bad = good;
    std::copy(bytes.begin(), bytes.end(), bad.begin() + static_cast<ptrdiff_t>(at));
    const Status status = open_bytes(folder, bad);
    CAPTURE(what);
    REQUIRE(!status.ok());
    CHECK_MESSAGE(status.message().find(what) != std::string::npos, status.message());
  };
  refused(4, {1, 0, 0, 0}, "version 1 is read no more");
  refused(4, {0, 0, 0, 3}, "big-endian");
  refused(8, {255, 255, 255, 255, 255, 255, 255, 255}, "tensors");
  refused(8, {0, 0, 0, 0, 0, 0, 0, 0}, "holds no tensors");
  refused(16, {255, 255, 255, 255, 255, 255, 255, 255}, "pairs");
  refused(24, {255, 255, 255, 255, 255, 255, 255, 255}, "string");
  for (const size_t length : {0, 3, 8, 23, 100, 1000, 7000})
    CHECK(!open_bytes(folder, {good.begin(), good.begin() + static_cast<ptrdiff_t>(length)}).ok());
  // A tensor's type: the word behind its name, rank and two dimensions.
  const std::string name = "Q4_0";
  size_t at = 0;
  for (size_t i = 8; i + 4 < good.size() && at == 0; ++i)
    if (std::memcmp(&good[i], name.data(), 4) == 0 && good[i - 8] == 4) at = i;
  REQUIRE(at > 0);
  refused(at + 4, {9, 0, 0, 0}, "9 dimensions");
  refused(at + 8, {33, 0, 0, 0, 0, 0, 0, 0}, "multiples of 32");
  refused(at + 24, {16, 0, 0, 0}, "IQ2_XXS");
  refused(at + 24, {99, 0, 0, 0}, "not known");
  refused(at + 28, {255, 255, 255, 255, 0, 0, 0, 0}, "Q4_0");
}
