// DiT and its autoencoder, converted from published folders and files, against diffusers and the
// original project: block by block, forward by forward, picture by picture. make_dit.py wrote the
// fixtures.
#include <doctest/doctest.h>

#include "runtime/samplers/diffusion.h"
#include "tests/parity/converted.h"
#include "tests/support/psnr.h"

using namespace zoetrope;

namespace {

constexpr double kBlockTolerance = 1e-5, kForwardTolerance = 1e-4;

void check_within(double tolerance, const std::string& name, const EvalTensors& got,
                  const EvalTensor& expected) {
  CAPTURE(name);
  const auto it = got.find(name);
  REQUIRE(it != got.end());
  REQUIRE(it->second.data.size() == expected.data.size());
  CHECK(relative_error(it->second, expected) <= tolerance);
}

// Case by case: "0.in.latents", "0.out.output", "0.block.blocks.0.output".
void check_case(const Converted& model, const std::string& component, const ParityFixture& fixture,
                const std::string& number, const std::vector<std::string>& input_names) {
  CAPTURE(component);
  CAPTURE(number);
  EvalTensors inputs;
  for (const std::string& name : input_names) inputs[name] = fixture.tensor(number + ".in." + name);
  std::vector<std::string> watch;
  for (const std::string& name : fixture.names(number + ".block."))
    if (component == "dit" || name.starts_with(component)) watch.push_back(name);
  CHECK(!watch.empty());
  const EvalTensors got = model.evaluate(component, inputs, watch);
  for (const std::string& name : watch)
    check_within(kBlockTolerance, name, got, fixture.tensor(number + ".block." + name));
  for (const std::string& name : fixture.names(number + ".out."))
    if (got.contains(name))
      check_within(kForwardTolerance, name, got, fixture.tensor(number + ".out." + name));
}

const std::vector<std::string> kDitInputs{"latents", "time", "labels"};

// [images, height, width, channels] with the network's guided prediction and, if asked, variance.
DiffusionModel guided(const Converted& model, const Denoise& stage, const Shape& shape,
                      const EvalTensor& labels, int null_class) {
  return [&model, &stage, shape, labels, null_class](
             int t, std::span<const float> x, std::span<float> output, std::span<float> variance) {
    const int64_t images = shape[0], channels = shape[3];
    EvalTensors inputs;
    inputs["latents"] = {{2 * images, shape[1], shape[2], channels}, {}};
    for (int half = 0; half < 2; ++half)
      inputs["latents"].data.insert(inputs["latents"].data.end(), x.begin(), x.end());
    inputs["time"] = {{2 * images},
                      std::vector<double>(static_cast<size_t>(2 * images), t * stage.time_scale)};
    inputs["labels"] = {{2 * images}, labels.data};
    inputs["labels"].data.resize(static_cast<size_t>(2 * images), null_class);
    const EvalTensor y = model.evaluate("dit", inputs).at("output");
    const int64_t guided = stage.guidance_channels > 0 ? stage.guidance_channels : channels;
    const int64_t width = y.shape[3], rows = images * shape[1] * shape[2];
    for (int64_t row = 0; row < rows; ++row)
      for (int64_t c = 0; c < channels; ++c) {
        const auto at = [&](int64_t r, int64_t i) {
          return y.data[static_cast<size_t>(r * width + i)];
        };
        const double with = at(row, c), without = at(row + rows, c);
        const auto k = static_cast<size_t>(row * channels + c);
        output[k] =
            static_cast<float>(c < guided ? without + stage.guidance * (with - without) : with);
        if (!variance.empty()) variance[k] = static_cast<float>(at(row, channels + c));
      }
    return Status();
  };
}

std::vector<float> as_floats(const EvalTensor& tensor) {
  return {tensor.data.begin(), tensor.data.end()};
}

}  // namespace

TEST_CASE("DiT equals diffusers' block by block, whatever its configuration says") {
  for (const char* name :
       {"plain", "norm_eps", "gelu", "geglu", "geglu_approximate", "swiglu", "linear_silu",
        "no_bias", "affine", "patch_1", "three_heads", "own_embedders", "no_variance"}) {
    CAPTURE(name);
    const Converted model({.input = published_dit(name), .output = ""});
    const ParityFixture fixture("dit/" + std::string(name) + "_io");
    for (const char* number : {"0", "1"}) check_case(model, "dit", fixture, number, kDitInputs);
  }
}

TEST_CASE("a diffusers pipeline becomes one file: network, autoencoder, sampler, labels") {
  const Converted model({.input = published_dit("pipeline"), .output = ""});
  const ParityFixture dit("dit/pipeline_io"), vae("dit/vae_io");
  // Latents of 6 are what it was trained on; of 4 and 10 positions are rescaled.
  for (const char* number : {"0", "1", "2"}) check_case(model, "dit", dit, number, kDitInputs);
  for (const char* number : {"0", "1"}) {
    check_case(model, "encoder", vae, number, {"image"});
    check_case(model, "decoder", vae, number, {"latents"});
  }

  const Recipe& r = model.recipe;
  CHECK(r.incomplete.empty());
  CHECK(r.clip.width.preferred == 24);
  CHECK(r.clip.width.multiple == 8);
  REQUIRE(r.latents.size() == 1);
  CHECK(r.latents[0].pixels == 4);
  CHECK(r.latents[0].std[3] == doctest::Approx(1 / 0.3));
  const auto& label = std::get<ClassLabel>(r.stages.at(0));
  CHECK(label.classes == 5);
  CHECK(label.null_class == 5);
  CHECK(label.names == std::vector<std::string>{"tench, Tinca tinca", "goldfish",
                                                "great white shark, white shark", "",
                                                "tabby, tabby cat"});
  REQUIRE(r.denoise() != nullptr);
  CHECK(r.denoise()->steps == 50);
  CHECK(r.denoise()->guidance == 4);
  CHECK(r.denoise()->guidance_channels == 0);
  const auto& spec = std::get<DiffusionSpec>(r.denoise()->sampler);
  CHECK(spec.reference == "diffusers");
  CHECK(spec.solver == "ddim");
  CHECK(spec.spacing == "leading");
  CHECK(spec.clip == 0);
}

TEST_CASE("pictures are the pipeline's from the same noise, to 60 dB") {
  const Converted model({.input = published_dit("pipeline"), .output = ""});
  const ParityFixture fixture("dit/pictures");
  const EvalTensor noise = fixture.tensor("noise");
  const Denoise& stage = *model.recipe.denoise();
  const auto sampler =
      require_ok(DiffusionSampler::create(std::get<DiffusionSpec>(stage.sampler), 12));
  std::vector<float> x = as_floats(noise);
  const auto no_noise = [](int, std::span<float>) { FAIL("DDIM adds no noise"); };
  const Status status = sample_diffusion(
      sampler, guided(model, stage, noise.shape, fixture.tensor("labels"), 5), no_noise, x);
  REQUIRE_MESSAGE(status.ok(), status.message());
  EvalTensor latents{noise.shape, {x.begin(), x.end()}};
  for (double& v : latents.data) v *= model.recipe.latents[0].std[0];
  const EvalTensor image = model.evaluate("decoder", {{"latents", latents}}).at("image");
  const EvalTensor expected = fixture.tensor("images");
  std::vector<double> found;
  for (double x : image.data) found.push_back(std::clamp(x / 2 + 0.5, 0.0, 1.0));
  CHECK(psnr(found, expected.data, 1) >= 60);
}

TEST_CASE("an original DiT file computes and samples as the original project") {
  const Converted model({.input = published_dit("original/dit.pt"),
                         .output = "",
                         .vae = published_dit("pipeline/vae")});
  const ParityFixture fixture("dit/original_io");
  check_case(model, "dit", fixture, "0", kDitInputs);

  const Denoise& stage = *model.recipe.denoise();
  CHECK(stage.steps == 250);
  CHECK(stage.guidance_channels == 3);
  const auto& spec = std::get<DiffusionSpec>(stage.sampler);
  const auto sampler = require_ok(DiffusionSampler::create(spec, 20));
  CHECK(sampler.needs_variance());
  const EvalTensor noise = fixture.tensor("sample.noise");
  const auto step_noise = [&](int step, std::span<float> out) {
    const EvalTensor fresh = fixture.tensor("sample.step." + std::to_string(step));
    std::copy(fresh.data.begin(), fresh.data.end(), out.begin());
  };
  std::vector<float> x = as_floats(noise);
  const Status status = sample_diffusion(
      sampler, guided(model, stage, noise.shape, fixture.tensor("sample.labels"), 5), step_noise,
      x);
  REQUIRE_MESSAGE(status.ok(), status.message());
  check_within(1e-4, "latents", {{"latents", {noise.shape, {x.begin(), x.end()}}}},
               fixture.tensor("sample.latents"));
}
