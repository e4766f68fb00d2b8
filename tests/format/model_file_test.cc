#include <doctest/doctest.h>
#include <sys/resource.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <cstring>

#include "graph/format/hash.h"
#include "graph/format/model_file.h"
#include "graph/format/output_file.h"
#include "graph/format/recipe.h"
#include "tests/format/small_model.h"

using namespace zoetrope;

namespace {

std::string write_small(const TemporaryFolder& folder, const char* name = "small.zoe") {
  const std::string path = folder.file(name);
  const Status status = write_model(path, small_model_info(), small_model_tensors());
  REQUIRE_MESSAGE(status.ok(), status.message());
  return path;
}

// The message of the error that opening `path` gives; empty when it opens.
std::string open_error(const std::string& path) {
  auto opened = ModelFile::open(path);
  return opened.ok() ? "" : opened.status().message();
}

bool mentions(const std::string& message, const std::string& what) {
  return message.find(what) != std::string::npos;
}

}  // namespace

TEST_CASE("a model comes back from its file as it was written") {
  const TemporaryFolder folder;
  auto file = ModelFile::open(write_small(folder));
  REQUIRE_MESSAGE(file.ok(), file.status().message());
  const ModelInfo expected = small_model_info();
  const ModelInfo& info = (*file)->info();
  CHECK(info.name == expected.name);
  CHECK(info.family == expected.family);
  CHECK(info.tokenizers == expected.tokenizers);
  CHECK(info.vocabulary == expected.vocabulary);
  CHECK(info.captions == expected.captions);
  CHECK(info.recipe == expected.recipe);
  CHECK(info.provenance == expected.provenance);
  CHECK(info.licence == expected.licence);
  REQUIRE(info.components.size() == 2);
  for (size_t i = 0; i < 2; ++i)
    CHECK(to_text(info.components[i]) == to_text(expected.components[i]));
  REQUIRE(info.components[1].states.size() == 1);
  CHECK(info.components[1].states[0].next == expected.components[1].states[0].next);

  for (const TensorSource& source : small_model_tensors()) {
    CAPTURE(source.name);
    auto data = (*file)->load(source.name);
    REQUIRE_MESSAGE(data.ok(), data.status().message());
    CHECK(data->type == source.type);
    if (source.synthetic) continue;
    const auto alignment = static_cast<uintptr_t>(tensor_alignment(source.type.bytes()));
    CHECK(reinterpret_cast<uintptr_t>(data->data) % alignment == 0);
    auto expected_data = source.load();
    CHECK(std::memcmp(data->data, expected_data->data, static_cast<size_t>(source.type.bytes())) ==
          0);
  }
  CHECK((*file)->verify_tensors(/*finite=*/true).ok());
}

TEST_CASE("the same model gives the same bytes, in any order of tensors") {
  const TemporaryFolder folder;
  const auto first = read_bytes(write_small(folder));
  auto tensors = small_model_tensors();
  std::reverse(tensors.begin(), tensors.end());
  REQUIRE(write_model(folder.file("again.zoe"), small_model_info(), std::move(tensors)).ok());
  CHECK(first == read_bytes(folder.file("again.zoe")));
}

TEST_CASE("a graph in a file gets defaults for attributes that it lacks") {
  const TemporaryFolder folder;
  ModelInfo info = small_model_info();
  size_t dropped = 0;
  for (Node& node : info.components[0].nodes) {
    Attrs kept;
    for (const AttrSpec& spec : op_def(node.op).attrs)
      if (const AttrValue* value = node.attrs.find(spec.name)) {
        if (spec.required)
          kept.set(spec.name, *value);
        else if (*value == spec.default_value)
          ++dropped;
        else
          kept.set(spec.name, *value);
      }
    node.attrs = kept;
  }
  CHECK(dropped > 0);
  REQUIRE(write_model(folder.file("m.zoe"), info, small_model_tensors()).ok());
  auto file = ModelFile::open(folder.file("m.zoe"));
  REQUIRE(file.ok());
  CHECK(to_text((*file)->info().components[0]) == to_text(small_model_info().components[0]));
}

TEST_CASE("what a writer is given wrongly is refused by name and leaves no file") {
  const TemporaryFolder folder;
  const std::string path = folder.file("m.zoe");
  const auto refuses = [&](const ModelInfo& info, std::vector<TensorSource> tensors,
                           const std::string& name) {
    const Status status = write_model(path, info, std::move(tensors));
    CHECK(!status.ok());
    CHECK_MESSAGE(mentions(status.message(), name), status.message());
    CHECK(!std::filesystem::exists(path));
    CHECK(std::filesystem::is_empty(std::filesystem::path(path).parent_path()));
  };
  auto tensors = small_model_tensors();
  tensors.erase(tensors.begin());
  refuses(small_model_info(), tensors, "table");

  tensors = small_model_tensors();
  tensors.push_back(tensors[1]);
  refuses(small_model_info(), tensors, "fc.weight");

  tensors = small_model_tensors();
  tensors[1].type.shape = {6, 4};
  refuses(small_model_info(), tensors, "fc.weight");

  tensors = small_model_tensors();
  tensors[2].load = []() -> Result<WeightData> { return error(Code::kIoError, "gone"); };
  refuses(small_model_info(), tensors, "fc.bias");

  ModelInfo info = small_model_info();
  info.components[1].name = "first";
  refuses(info, small_model_tensors(), "first");

  CHECK(write_model(folder.file("no/such/folder/m.zoe"), small_model_info(), small_model_tensors())
            .code() == Code::kIoError);
  CHECK(write_model(path, small_model_info(), small_model_tensors(), [](int64_t, int64_t) {
          return false;
        }).code() == Code::kCancelled);
  CHECK(std::filesystem::is_empty(std::filesystem::path(path).parent_path()));
}

TEST_CASE("tensors without elements are kept") {
  const TemporaryFolder folder;
  auto tensors = small_model_tensors();
  TensorSource nothing{"aa.nothing", {DType::kF32, {0, 4}}, std::nullopt, {}};
  nothing.load = [type = nothing.type]() -> Result<WeightData> {
    static const float none = 0;
    return WeightData{type, &none, nullptr};
  };
  tensors.push_back(nothing);
  nothing.name = "zz.nothing";
  tensors.push_back(nothing);
  const Status status = write_model(folder.file("m.zoe"), small_model_info(), tensors);
  REQUIRE_MESSAGE(status.ok(), status.message());
  const auto file = ModelFile::open(folder.file("m.zoe"));
  REQUIRE_MESSAGE(file.ok(), file.status().message());
  CHECK((*file)->verify_tensors(true).ok());
  CHECK((*file)->type("aa.nothing")->to_string() == "f32[0, 4]");
}

TEST_CASE("large tensors begin at pages, small ones lie side by side") {
  const TemporaryFolder folder;
  auto tensors = small_model_tensors();
  static const std::vector<float> numbers(16384, 1);
  TensorSource large;
  large.name = "aa.large";
  large.type = {DType::kF32, Shape{16384}};
  large.load = [type = large.type]() -> Result<WeightData> {
    return WeightData{type, numbers.data(), nullptr};
  };
  tensors.push_back(large);
  const Status status = write_model(folder.file("m.zoe"), small_model_info(), std::move(tensors));
  REQUIRE_MESSAGE(status.ok(), status.message());
  const auto file = ModelFile::open(folder.file("m.zoe"));
  REQUIRE_MESSAGE(file.ok(), file.status().message());
  int64_t small_begin = INT64_MAX, small_end = 0, bytes = 0, count = 0;
  for (const TensorEntry& t : (*file)->tensors()) {
    if (t.length == 0) continue;
    CHECK(t.offset % (t.name == "aa.large" ? 4096 : 64) == 0);
    if (t.name == "aa.large") continue;
    small_begin = std::min(small_begin, t.offset);
    small_end = std::max(small_end, t.offset + t.length);
    bytes += t.length;
    ++count;
  }
  CHECK(count > 3);
  CHECK(small_end - small_begin < bytes + 64 * count);
}

TEST_CASE("a full disk leaves no file behind, and the old one untouched") {
  const TemporaryFolder folder;
  const std::string path = write_small(folder);
  const auto before = read_bytes(path);
  rlimit old_limit{};
  REQUIRE(getrlimit(RLIMIT_FSIZE, &old_limit) == 0);
  const rlimit small{before.size() / 2, old_limit.rlim_max};
  const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
  REQUIRE(setrlimit(RLIMIT_FSIZE, &small) == 0);
  const Status status = write_model(path, small_model_info(), small_model_tensors());
  setrlimit(RLIMIT_FSIZE, &old_limit);
  std::signal(SIGXFSZ, old_handler);
  CHECK(status.code() == Code::kResourceExhausted);
  CHECK(mentions(status.message(), path));
  CHECK(read_bytes(path) == before);
  CHECK(std::distance(
            std::filesystem::directory_iterator(std::filesystem::path(path).parent_path()), {}) ==
        1);
}

TEST_CASE("damage in the header is told apart") {
  const TemporaryFolder folder;
  const auto good = read_bytes(write_small(folder));
  const std::string path = folder.file("bad.zoe");
  const auto message = [&](auto change) {
    auto bytes = good;
    change(bytes);
    write_bytes(path, bytes);
    const std::string text = open_error(path);
    CHECK_MESSAGE(mentions(text, path), text);
    return text;
  };
  CHECK(mentions(message([](auto& b) { b.clear(); }), "not a .zoe"));
  CHECK(mentions(message([](auto& b) { b[0] ^= 1; }), "not a .zoe"));
  CHECK(mentions(message([](auto& b) { b[8] = 9; }), "version 9"));
  CHECK(mentions(message([](auto& b) { b.pop_back(); }), "cut short"));
  CHECK(mentions(message([](auto& b) { b.push_back(0); }), "header says"));
  CHECK(mentions(message([](auto& b) { b[31] = 0xff; }), "beyond"));
  CHECK(mentions(message([](auto& b) { b[100] ^= 4; }), "hash"));
  // A hash that says that the root is whole: damage is not what is wrong with it.
  CHECK(mentions(message([](auto& b) {
                   uint64_t length = 0;
                   std::memcpy(&length, &b[24], 8);
                   b[kModelHeaderBytes + 3] = 0x7f;  // where the first table is
                   const uint64_t hash = hash_bytes({&b[kModelHeaderBytes], length});
                   std::memcpy(&b[32], &hash, 8);
                 }),
                 "another version of zoetrope"));
  CHECK(open_error(folder.file("absent.zoe")).find("absent.zoe") != std::string::npos);
  CHECK(!open_error(folder.file("")).empty());
}

TEST_CASE("damage in a tensor is found by its hash, and NaN by its name") {
  const TemporaryFolder folder;
  const std::string path = write_small(folder);
  auto bytes = read_bytes(path);
  bytes.back() ^= 1;  // of "table", the last stored tensor
  write_bytes(path, bytes);
  auto file = ModelFile::open(path);
  REQUIRE(file.ok());
  CHECK(mentions((*file)->verify_tensors(false).message(), "'table' is damaged"));

  auto tensors = small_model_tensors();
  for (size_t i = 0; i < 4; ++i) {
    auto poisoned = tensors;
    poisoned[i].load = [i, load = tensors[i].load]() -> Result<WeightData> {
      auto data = load();
      auto copy = std::make_shared<std::vector<uint8_t>>(static_cast<size_t>(data->type.bytes()));
      std::memcpy(copy->data(), data->data, copy->size());
      store_element(data->type.dtype, copy->data(), 3, i % 2 == 0 ? NAN : -INFINITY);
      return WeightData{data->type, copy->data(), copy};
    };
    REQUIRE(write_model(path, small_model_info(), poisoned).ok());
    file = ModelFile::open(path);
    REQUIRE(file.ok());
    CHECK((*file)->verify_tensors(false).ok());
    CHECK(mentions((*file)->verify_tensors(true).message(), "'" + tensors[i].name + "' holds NaN"));
  }
}

TEST_CASE("synthetic tensors are the same for any number of threads, with the stated statistics") {
  const TensorType type{DType::kF32, {1031, 1033}};
  const auto n = static_cast<size_t>(type.shape.elements());
  std::vector<float> one(n), many(n);
  SyntheticTensor spec{Distribution::kNormal, 0.5, 2, 77};
  generate_synthetic(spec, type, one.data(), 1);
  generate_synthetic(spec, type, many.data(), 5);
  CHECK(one == many);
  const auto moments = [&](const std::vector<float>& x) {
    double mean = 0, square = 0;
    for (float v : x) mean += v;
    mean /= static_cast<double>(x.size());
    for (float v : x) square += (v - mean) * (v - mean);
    return std::pair(mean, std::sqrt(square / static_cast<double>(x.size())));
  };
  // Five standard errors of n samples.
  const double slack = 5 / std::sqrt(static_cast<double>(n));
  CHECK(std::abs(moments(one).first - 0.5) < 2 * slack);
  CHECK(std::abs(moments(one).second - 2) < 2 * slack);
  spec.seed = 78;
  generate_synthetic(spec, type, many.data(), 2);
  CHECK(one != many);
  spec = {Distribution::kUniform, -3, 1, 5};
  generate_synthetic(spec, type, one.data(), 2);
  CHECK(std::abs(moments(one).first + 1) < 4 * slack);
  CHECK(*std::min_element(one.begin(), one.end()) >= -3);
  CHECK(*std::max_element(one.begin(), one.end()) < 1);
  spec = {Distribution::kConstant, 1.5, 0, 5};
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    generate_synthetic(spec, {dtype, {33}}, one.data(), 2);
    for (int64_t i = 0; i < 33; ++i) CHECK(load_element(dtype, one.data(), i) == 1.5);
  }
}

TEST_CASE("narrow synthetic tensors are the rounded wide ones") {
  const SyntheticTensor spec{Distribution::kNormal, 0, 0.02, 9};
  std::vector<float> wide(4099);
  generate_synthetic(spec, {DType::kF32, {4099}}, wide.data(), 1);
  for (const DType dtype : {DType::kF16, DType::kBF16}) {
    std::vector<uint16_t> narrow(4099);
    generate_synthetic(spec, {dtype, {4099}}, narrow.data(), 3);
    for (size_t i = 0; i < wide.size(); ++i)
      REQUIRE(narrow[i] == (dtype == DType::kF16 ? f32_to_f16(wide[i]) : f32_to_bf16(wide[i])));
  }
}
