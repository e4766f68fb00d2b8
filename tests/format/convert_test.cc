// Published checkpoints become model files that compute what their projects compute: tiny random
// models saved by diffusers and by torch.save, against the fixtures of the parity tests.
#include <doctest/doctest.h>

#include "converters/convert.h"
#include "converters/store.h"
#include "graph/builder.h"
#include "graph/format/recipe.h"
#include "models/registry.h"
#include "tests/format/small_model.h"
#include "tests/parity/fixture.h"

using namespace zoetrope;

namespace {

std::string published(const char* name) {
  return std::string(ZOETROPE_SOURCE_DIR) + "/tests/format/data/" + name;
}

std::unique_ptr<ModelFile> converted(const TemporaryFolder& folder, ConvertOptions options) {
  options.output = folder.file("model.zoe");
  const Status status = convert(options);
  REQUIRE_MESSAGE(status.ok(), status.message());
  auto file = ModelFile::open(options.output);
  REQUIRE_MESSAGE(file.ok(), file.status().message());
  CHECK((*file)->verify_tensors(/*finite=*/true).ok());
  CHECK(parse_recipe((*file)->info().recipe).ok());
  return std::move(*file);
}

EvalTensors evaluate(const ModelFile& file, const Bindings& bindings,
                     const ParityFixture& fixture) {
  EvalTensors inputs;
  for (const std::string& name : fixture.names("in.")) inputs[name] = fixture.tensor("in." + name);
  auto graph = zoetrope::bind(file.info().components.at(0), bindings);
  REQUIRE_MESSAGE(graph.ok(), graph.status().message());
  auto result = reference_evaluate(*graph, inputs, file, {.round_to_dtype = false, .watch = {}});
  REQUIRE_MESSAGE(result.ok(), result.status().message());
  return std::move(*result);
}

}  // namespace

TEST_CASE("a diffusers DiT folder is converted") {
  const TemporaryFolder folder;
  const ParityFixture fixture("dit");
  const auto file = converted(folder, {.input = published("dit_diffusers"), .output = ""});
  CHECK(file->info().family == "dit");
  check_close("output", evaluate(*file, {{"batch", 2}, {"height", 8}, {"width", 8}}, fixture),
              fixture.tensor("out.output"));
}

TEST_CASE("an original DiT file is converted to the same weights") {
  const TemporaryFolder a, b;
  const auto original = converted(a, {.input = published("dit_original"), .output = ""});
  const auto diffusers = converted(b, {.input = published("dit_diffusers"), .output = ""});
  REQUIRE(original->tensors().size() == diffusers->tensors().size());
  for (size_t i = 0; i < original->tensors().size(); ++i) {
    CHECK(original->tensors()[i].name == diffusers->tensors()[i].name);
    CHECK(original->tensors()[i].hash == diffusers->tensors()[i].hash);
  }
  // The two projects differ in constants: the graphs must not be the same.
  CHECK(to_text(original->info().components[0]) != to_text(diffusers->info().components[0]));
}

TEST_CASE("Wan is converted, from the original and from diffusers") {
  const ParityFixture fixture("wan");
  for (const char* name : {"wan_diffusers", "wan_original"}) {
    CAPTURE(name);
    const TemporaryFolder folder;
    const auto file = converted(folder, {.input = published(name), .output = ""});
    CHECK(file->info().family == "wan");
    check_close(
        "video_velocity",
        evaluate(*file,
                 {{"batch", 2}, {"frames", 3}, {"height", 4}, {"width", 6}, {"text_length", 7}},
                 fixture),
        fixture.tensor("out.video_velocity"));
  }
}

TEST_CASE("a Wan without the norm before cross-attention is what its configuration says") {
  const ParityFixture fixture("wan_plain");
  const TemporaryFolder folder;
  const auto file = converted(folder, {.input = published("wan_plain"), .output = ""});
  check_close(
      "video_velocity",
      evaluate(*file,
               {{"batch", 2}, {"frames", 2}, {"height", 6}, {"width", 4}, {"text_length", 3}},
               fixture),
      fixture.tensor("out.video_velocity"));
}

TEST_CASE("weights are stored as the dtype that is asked for, rounded to nearest") {
  const TemporaryFolder a, b;
  const auto wide = converted(a, {.input = published("dit_original"), .output = ""});
  for (const DType dtype : {DType::kF16, DType::kBF16}) {
    const auto narrow =
        converted(b, {.input = published("dit_original"), .output = "", .dtype = dtype});
    for (const TensorEntry& entry : narrow->tensors()) {
      CHECK(entry.type.dtype == dtype);
      const auto x = wide->load(entry.name), y = narrow->load(entry.name);
      REQUIRE(x.ok());
      REQUIRE(y.ok());
      for (int64_t i = 0; i < entry.type.shape.elements(); ++i) {
        const auto value = static_cast<float>(load_element(x->type.dtype, x->data, i));
        const double rounded =
            dtype == DType::kF16 ? f16_to_f32(f32_to_f16(value)) : bf16_to_f32(f32_to_bf16(value));
        REQUIRE(load_element(dtype, y->data, i) == rounded);
      }
    }
  }
}

TEST_CASE("what does not fit a model is refused by name") {
  const TemporaryFolder folder;
  const std::string output = folder.file("m.zoe");
  const auto message = [&](const ConvertOptions& options) { return convert(options).message(); };
  CHECK(message({.input = published("dit_original"), .output = output, .family = "nonsense"})
            .find("known:") != std::string::npos);
  CHECK(message({.input = published("tiny.pt"), .output = output}).find("--family") !=
        std::string::npos);
  CHECK(message({.input = published("dit_original"), .output = output, .family = "wan"})
            .find("patch_embedding.weight") != std::string::npos);
  CHECK(message({.input = published("hostile.pt"), .output = output}).find("posix.system") !=
        std::string::npos);
  CHECK(message({.input = "synthetic:nonsense", .output = output}).find("wan2.1-1.3b") !=
        std::string::npos);
  CHECK(!std::filesystem::exists(output));
}

TEST_CASE("every built-in configuration is a small file") {
  for (const BuiltinModel& model : builtin_models()) {
    CAPTURE(model.name);
    const TemporaryFolder folder;
    const std::string path = folder.file("m.zoe");
    const Status status =
        convert({.input = "synthetic:" + std::string(model.name), .output = path});
    REQUIRE_MESSAGE(status.ok(), status.message());
    const auto file = ModelFile::open(path);
    REQUIRE_MESSAGE(file.ok(), file.status().message());
    // Most is what follows from weights: 2.3's vocoder spreads its filters over its channels.
    CHECK((*file)->file_bytes() < 12 << 20);
    REQUIRE(!(*file)->info().components.empty());
    CHECK((*file)->info().recipe.empty() == (model.recipe == nullptr));
    if (model.recipe != nullptr) CHECK(parse_recipe((*file)->info().recipe).ok());
    CHECK(zoetrope::bind((*file)->info().components[0], model.example).ok());
  }
}

TEST_CASE("two parts of a model may name their weights alike") {
  const auto part = [](const char* scope, const char* component, const MemoryWeights& weights) {
    Builder b(component);
    b.output("y", b.linear("blocks.0", b.input("x", DType::kF32, {1, 2}), 2, 2, false));
    auto graph = b.finish();
    REQUIRE(graph.ok());
    return ModelPart{.scope = scope, .components = {std::move(*graph)}, .weights = &weights};
  };
  MemoryWeights first, second;
  first.add("blocks.0.weight", DType::kF32, {{2, 2}, {1, 2, 3, 4}});
  second.add("blocks.0.weight", DType::kF32, {{2, 2}, {5, 6, 7, 8}});
  const TemporaryFolder folder;
  ModelInfo info;
  info.name = info.family = "pair";
  info.recipe = recipe_to_json(Recipe());
  const Status stored =
      store_model(info, {part("text", "encoder", first), part("dit", "denoiser", second)},
                  {.input = "", .output = folder.file("pair.zoe")}, {});
  REQUIRE_MESSAGE(stored.ok(), stored.message());
  const auto file = ModelFile::open(folder.file("pair.zoe"));
  REQUIRE_MESSAGE(file.ok(), file.status().message());
  const EvalTensors inputs{{"x", {{1, 2}, {1, 1}}}};
  for (const auto& [index, expected] : {std::pair{0, 3.0}, {1, 11.0}}) {
    auto graph = zoetrope::bind((*file)->info().components.at(static_cast<size_t>(index)), {});
    REQUIRE(graph.ok());
    const auto result = reference_evaluate(*graph, inputs, **file);
    REQUIRE_MESSAGE(result.ok(), result.status().message());
    CHECK(result->at("y").data[0] == expected);  // the first row's sum
  }
}
