// Pictures of classes by diffusion, on a network so simple that the right picture follows from the
// samplers' own equations: its noise is a constant a class.
#include <doctest/doctest.h>

#include <cmath>

#include "graph/builder.h"
#include "runtime/engine/engine.h"
#include "runtime/engine/stages/class_label.h"
#include "tests/pipelines/resumed.h"

using namespace zoetrope;

namespace {

constexpr int64_t kSide = 16, kChannels = 4, kClasses = 3;
constexpr double kScale = 5;  // latents' standard deviation

class Tables : public WeightSource {
 public:
  // Row c of the classes' table is (c + 1) / 10 · (1, −1, 0.5, 2); the null class's is zero.
  Tables() {
    for (int64_t c = 0; c < kClasses; ++c)
      for (double x : {1.0, -1.0, 0.5, 2.0})
        table_.push_back(static_cast<float>(static_cast<double>(c + 1) / 10 * x));
    table_.insert(table_.end(), kChannels, 0.0f);
    // [4, 8, 8, 3]: each latent channel is the mean of a colour, the fourth of all three.
    for (int64_t o = 0; o < kChannels; ++o)
      for (int64_t p = 0; p < 64; ++p)
        for (int64_t i = 0; i < 3; ++i)
          kernel_.push_back(o == i ? 1.0f / 64 : o == 3 ? 1.0f / 192 : 0.0f);
  }
  Result<TensorType> type(std::string_view name) const override {
    if (name == "table") return TensorType{DType::kF32, {kClasses + 1, kChannels}};
    return TensorType{DType::kF32, {kChannels, 8, 8, 3}};
  }
  Result<WeightData> load(std::string_view name) const override {
    ZT_ASSIGN_OR_RETURN(const TensorType t, type(name));
    return WeightData{t, name == "table" ? table_.data() : kernel_.data(), nullptr};
  }

 private:
  std::vector<float> table_, kernel_;
};

Graph finished(Builder& b) {
  auto graph = b.finish();
  REQUIRE_MESSAGE(graph.ok(), graph.status().message());
  return std::move(*graph);
}

Model picture_model(int64_t factor, DiffusionSpec sampler, int guidance_channels) {
  const Dim n = Dim::symbol("batch"), h = Dim::symbol("height"), w = Dim::symbol("width");
  Model model;
  model.name = "pictures";
  model.weights = std::make_shared<Tables>();
  {
    Builder b("net");
    const ValueId x = b.input("x", DType::kF32, {n, h, w, kChannels});
    const ValueId t = b.input("t", DType::kF32, {n}, Rate::kTimestep);
    const ValueId label = b.input("label", DType::kI32, {n}, Rate::kClip);
    const ValueId rows = b.reshape(b.gather(b.weight("table", {kClasses + 1, kChannels}), label),
                                   {n, 1, 1, kChannels});
    const ValueId time = b.mul(b.reshape(t, {n, 1, 1, 1}), b.scalar(0));
    const ValueId noise = b.add(b.add(b.mul(x, b.scalar(0)), rows), time);
    b.output("noise", factor == 1 ? noise : b.concat({noise, b.mul(noise, b.scalar(0))}, 3));
    model.components.emplace("net", finished(b));
  }
  {
    Builder b("decoder");
    const ValueId z = b.input("z", DType::kF32, {n, h, w, kChannels});
    b.output("picture", b.repeat(b.repeat(b.slice(z, 3, 0, 3), 1, 8), 2, 8));
    model.components.emplace("decoder", finished(b));
  }
  {
    Builder b("encoder");
    const ValueId p = b.input("picture", DType::kF32, {n, h * 8, w * 8, 3});
    b.output("z", b.conv(p, b.weight("kernel", {kChannels, 8, 8, 3}),
                         {.stride = {8, 8}, .dilation = {}, .pad_lo = {}, .pad_hi = {}}));
    model.components.emplace("encoder", finished(b));
  }
  Recipe& r = model.recipe;
  r.clip.width = r.clip.height = {8, 64, 8, kSide};
  r.latents = {{"image",
                Modality::kImage,
                kChannels,
                {0, 0, 0, 0},
                std::vector<float>(kChannels, kScale),
                8,
                1,
                1,
                1}};
  Denoise denoise;
  denoise.component = "net";
  denoise.time = "t";
  denoise.streams = {{"image", "x", "noise"}};
  denoise.conditions = {{"label", "label"}};
  denoise.sampler = std::move(sampler);
  denoise.steps = 5;
  denoise.guidance = 3;
  denoise.guidance_channels = guidance_channels;
  r.stages = {ClassLabel{"label", kClasses, kClasses, {"cat, tabby cat", "dog", "Fox, dog"}},
              StartPicture{"image", "encoder", "picture", "z"}, denoise,
              DecodeImage{{"image", "decoder", "z", "picture", {}}}};
  return model;
}

DiffusionSpec ddim(const char* variance) {
  DiffusionSpec spec;
  spec.reference = "diffusers";
  spec.solver = "ddim";
  spec.spacing = "leading";
  spec.variance = variance;
  return spec;
}

class Pictures : public ClipSink {
 public:
  Status frames(const uint8_t* pixels, int64_t count) override {
    bytes.insert(bytes.end(), pixels, pixels + count * kSide * kSide * 3);
    return Status();
  }
  Status audio(const float*, int64_t) override { return error(Code::kInternal, "sound"); }
  std::vector<uint8_t> bytes;
};

// Betas and their products as the papers have them: linear from 1e-4 to 2e-2, 1000 steps.
double alpha(int t) {
  double product = 1;
  for (int i = 0; i <= t; ++i) product *= 1 - (1e-4 + (2e-2 - 1e-4) * i / 999.0);
  return product;
}

// DDIM (arXiv 2010.02502, equation 12, eta 0) from `x` at the timesteps 800, 600, ... 0 that
// "leading" visits, where the noise is always `noise`.
double ddim_result(double x, double noise, int first) {
  for (int t = first; t >= 0; t -= 200) {
    const double a = alpha(t), previous = t >= 200 ? alpha(t - 200) : 1;
    const double start = (x - std::sqrt(1 - a) * noise) / std::sqrt(a);
    x = std::sqrt(previous) * start + std::sqrt(1 - previous) * noise;
  }
  return x;
}

double noise_of(int label, int channel) {
  return (label + 1) / 10.0 * std::array{1.0, -1.0, 0.5, 2.0}[static_cast<size_t>(channel)];
}

int to_byte(double latent) {
  return static_cast<int>(std::lrint(std::clamp((latent * kScale + 1) * 127.5, 0.0, 255.0)));
}

std::unique_ptr<Engine> open(Model model) {
  EngineOptions options;
  options.placement.device = "cpu";
  auto engine = Engine::create(std::move(model), std::move(options));
  REQUIRE_MESSAGE(engine.ok(), engine.status().message());
  return std::move(*engine);
}

// Latents of two pictures, small enough that nothing is clipped: [2, 2, 2, 4].
std::vector<float> given_noise() {
  std::vector<float> noise;
  for (int i = 0; i < 2 * 2 * 2 * 4; ++i) noise.push_back(0.002f * static_cast<float>(i % 13 - 6));
  return noise;
}

void check_pictures(Engine& engine, int guidance_channels, int first_step) {
  Request request;
  request.classes = {"1", "tabby CAT"};
  request.noise = given_noise();
  std::vector<double> start(request.noise.begin(), request.noise.end());
  if (first_step > 0) {
    request.start = {std::vector<uint8_t>(kSide * kSide * 3, 140), 1};
    request.strength = 1 - first_step / 5.0 + 1e-9;
    const double a = alpha(800 - 200 * first_step);
    for (double& x : start) x = std::sqrt(a) * ((140 / 127.5 - 1) / kScale) + std::sqrt(1 - a) * x;
  }
  Pictures pictures;
  auto stats = engine.run(request, pictures);
  REQUIRE_MESSAGE(stats.ok(), stats.status().message());
  REQUIRE(pictures.bytes.size() == 2 * kSide * kSide * 3);
  int worst = 0;
  for (int64_t p = 0; p < 2; ++p)
    for (int64_t y = 0; y < kSide; ++y)
      for (int64_t x = 0; x < kSide; ++x)
        for (int c = 0; c < 3; ++c) {
          const int label = p == 0 ? 1 : 0;
          const double g = c < guidance_channels ? 3 : 1;  // the null class's noise is zero
          const auto i = static_cast<size_t>(((p * 2 + y / 8) * 2 + x / 8) * 4 + c);
          const int expected =
              to_byte(ddim_result(start[i], g * noise_of(label, c), 800 - 200 * first_step));
          const int found =
              pictures.bytes[static_cast<size_t>(((p * kSide + y) * kSide + x) * 3 + c)];
          worst = std::max(worst, std::abs(expected - found));
        }
  CHECK(worst <= 1);
}

}  // namespace

TEST_CASE(
    "DDIM's pictures of two classes are the equations', guided on all channels or the first") {
  check_pictures(*open(picture_model(1, ddim("fixed_small"), 0)), 3, 0);
  check_pictures(*open(picture_model(2, ddim("learned_range"), 2)), 2, 0);
}

TEST_CASE("image to image begins with the picture, as noisy as its strength says") {
  const auto engine = open(picture_model(1, ddim("fixed_small"), 0));
  for (int first : {1, 2, 4}) check_pictures(*engine, 3, first);
  Request request;
  request.classes = {"0"};
  request.start = {std::vector<uint8_t>(kSide * kSide * 3, 140), 1};
  request.strength = 0.1;  // of 5 steps: none
  Pictures sink;
  CHECK(engine->run(request, sink).status().code() == Code::kInvalidArgument);
}

TEST_CASE("a picture does not depend on those beside it, and DDPM repeats with its seed") {
  DiffusionSpec ddpm;  // original, respaced, learned range
  const auto engine = open(picture_model(2, ddpm, 3));
  Request one, two;
  one.classes = {"2"};
  two.classes = {"2", "0", "1"};
  one.seed = two.seed = 9;
  Pictures a, b, c;
  REQUIRE(engine->run(one, a).ok());
  REQUIRE(engine->run(two, b).ok());
  REQUIRE(engine->run(two, c).ok());
  CHECK(b.bytes == c.bytes);
  REQUIRE(b.bytes.size() == 3 * a.bytes.size());
  CHECK(std::equal(a.bytes.begin(), a.bytes.end(), b.bytes.begin()));
  one.seed = 10;
  Pictures d;
  REQUIRE(engine->run(one, d).ok());
  CHECK(d.bytes != a.bytes);
}

TEST_CASE("pictures by diffusion go on from any step, whatever noise their steps add") {
  DiffusionSpec ddpm;  // original, respaced, learned range
  DiffusionSpec noisy = ddim("fixed_small");
  noisy.eta = 1;
  for (const DiffusionSpec& spec : {ddpm, noisy, ddim("fixed_small")}) {
    const Model model = picture_model(2, spec, 3);
    Request request;
    request.classes = {"2", "0", "1"};
    request.seed = 4;
    request.steps = 5;
    resumed::check_resumes([&] { return open(model); }, request, 5);
    request.start = {std::vector<uint8_t>(kSide * kSide * 3, 140), 1};
    request.strength = 0.6;
    resumed::check_resumes([&] { return open(model); }, request, 3);
  }
}

TEST_CASE("classes are found by number and by any of their names, and errors say what there is") {
  ClassLabel labels;
  labels.classes = 3;
  labels.names = {"cat, tabby cat", "dog", "Fox, dog"};
  CHECK(*find_class(labels, "2") == 2);
  CHECK(*find_class(labels, "tabby cat") == 0);
  CHECK(*find_class(labels, "fox") == 2);
  for (const auto& [text, words] : {std::pair{"3", "0 to 2"},
                                    {"-1", "0 to 2"},
                                    {"dog", "2 classes"},
                                    {"ca", "tabby cat (0)"},
                                    {"horse", "no class 'horse'"},
                                    {"", "no class"},
                                    {"1.5", "no class"}}) {
    const auto found = find_class(labels, text);
    REQUIRE_FALSE(found.ok());
    CHECK_MESSAGE(found.status().message().find(words) != std::string::npos,
                  found.status().message());
  }
}

TEST_CASE("a model of classes refuses what it has no stage for") {
  const auto engine = open(picture_model(1, ddim("fixed_small"), 0));
  Pictures sink;
  const auto refused = [&](const Request& request, const char* words) {
    const auto result = engine->run(request, sink);
    REQUIRE_FALSE(result.ok());
    CHECK(result.status().code() == Code::kInvalidArgument);
    CHECK_MESSAGE(result.status().message().find(words) != std::string::npos,
                  result.status().message());
  };
  Request request;
  refused(request, "--class");
  request.classes = {"0"};
  request.prompt = "a cat";
  refused(request, "reads no text");
  request.prompt.clear();
  request.schedule = "linear";
  refused(request, "flow matching");
  request.schedule.clear();
  request.known.first = {std::vector<uint8_t>(kSide * kSide * 3), 1};
  refused(request, "no known frames");
  request.known = {};
  request.solver = "ddpm";
  request.steps = 3;
  CHECK(engine->run(request, sink).ok());
  // Its variance is learned, and the network gives none.
  CHECK(Engine::create(picture_model(1, DiffusionSpec(), 0), {})
            .status()
            .message()
            .find("output 'noise'") != std::string::npos);
}
