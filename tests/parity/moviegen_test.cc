// Movie Gen's autoencoder and its sound's networks against implementations written from the paper
// (make_moviegen.py).
#include <doctest/doctest.h>

#include "models/moviegen/audio.h"
#include "models/moviegen/codec.h"
#include "models/moviegen/recipe.h"
#include "models/moviegen/tae.h"
#include "runtime/engine/engine.h"
#include "tests/devices.h"
#include "tests/parity/fixture.h"
#include "tests/support/psnr.h"

using namespace zoetrope;

namespace {

constexpr double kBlockTolerance = 1e-5;

struct Stored : ParityFixture {
  explicit Stored(const std::string& name)
      : ParityFixture("moviegen/" + name), config(nlohmann::json::parse(metadata("config"))) {}
  int64_t number(const char* key) const { return config.at(key).get<int64_t>(); }
  std::vector<int64_t> numbers(const char* key) const {
    return config.at(key).get<std::vector<int64_t>>();
  }
  nlohmann::json config;
};

}  // namespace

TEST_CASE("Movie Gen Audio's transformer equals the paper's") {
  const Stored io("audio");
  const MovieGenAudioConfig c{.layers = io.number("layers"),
                              .width = io.number("width"),
                              .heads = io.number("heads"),
                              .ffn = io.number("ffn"),
                              .channels = io.number("channels"),
                              .text_width = io.number("text"),
                              .picture_width = io.number("picture")};
  EvalTensors inputs;
  for (const std::string& name : io.names("in.")) inputs[name] = io.tensor("in." + name);
  const Bindings bindings{{"batch", 2},
                          {"frames", inputs["sound"].shape[1]},
                          {"text_length", inputs["text"].shape[1]},
                          {"pictures", inputs["pictures"].shape[1]}};
  const Graph graph = require_ok(build_moviegen_audio_dit(c));
  const EvalTensor expected = io.tensor("out.sound_velocity");
  check_close("sound_velocity", io.evaluate(graph, bindings, inputs), expected);
  // Every input counts.
  for (const char* name : {"known", "known_mask", "text", "pictures"}) {
    CAPTURE(name);
    EvalTensors other = inputs;
    for (double& x : other[name].data) x = 0.5 - x;
    CHECK(relative_error(io.evaluate(graph, bindings, other).at("sound_velocity"), expected) >
          1e-3);
  }
  MovieGenAudioConfig odd = c;
  odd.heads = 5;
  CHECK_FALSE(build_moviegen_audio_dit(odd).ok());
}

TEST_CASE("Movie Gen Audio's codec equals DAC's layers with a Gaussian latent") {
  const Stored io("codec");
  const MovieGenCodecConfig c{.channels = io.number("channels"),
                              .latent_channels = io.number("latents"),
                              .encoder_width = io.number("encoder"),
                              .decoder_width = io.number("decoder"),
                              .strides = io.numbers("strides"),
                              .dilations = io.numbers("dilations")};
  const EvalTensor sound = io.tensor("in.sound"), latents = io.tensor("in.latents");
  const EvalTensors means =
      io.evaluate(require_ok(build_moviegen_sound_encoder(c)),
                  {{"batch", 2}, {"frames", sound.shape[1] / c.stride()}}, {{"sound", sound}});
  check_close("mean", means, io.tensor("out.mean"));
  const EvalTensors heard =
      io.evaluate(require_ok(build_moviegen_sound_decoder(c)),
                  {{"batch", 2}, {"frames", latents.shape[1]}}, {{"latents", latents}});
  CHECK(heard.at("sound").shape[1] == latents.shape[1] * c.stride());
  check_close("sound", heard, io.tensor("out.sound"));
  // As published: 48,000 samples become 25 latents.
  CHECK(MovieGenCodecConfig().stride() == 1920);
  MovieGenCodecConfig odd = c;
  odd.strides = {2, 3};
  CHECK_FALSE(build_moviegen_sound_decoder(odd).ok());
}

TEST_CASE("Movie Gen's temporal autoencoder equals the paper's, block by block") {
  const Stored io("tae");
  const TaeConfig c{.latent_channels = io.number("latents"),
                    .levels = io.numbers("levels"),
                    .layers = io.number("layers"),
                    .groups = io.number("groups")};
  REQUIRE(c.factor() == 4);
  CHECK(TaeConfig().factor() == 8);
  for (const bool encodes : {true, false}) {
    CAPTURE(encodes);
    const EvalTensor input = io.tensor(encodes ? "in.video" : "in.latents");
    const int64_t by = encodes ? c.factor() : 1;
    const Bindings bindings{{"batch", input.shape[0]},
                            {"frames", input.shape[1] / by},
                            {"height", input.shape[2] / by},
                            {"width", input.shape[3] / by}};
    std::vector<std::string> watch, blocks;
    for (const std::string& block : io.names("out.block."))
      if (block.starts_with(encodes ? "encoder." : "decoder.")) {
        blocks.push_back(block);
        watch.push_back(block + ".output");
      }
    CHECK(blocks.size() >= 5);
    const Graph graph = require_ok(encodes ? build_tae_encoder(c) : build_tae_decoder(c));
    const EvalTensors got =
        io.evaluate(graph, bindings, {{encodes ? "video" : "latents", input}}, watch);
    for (const std::string& block : blocks) {
      const double error =
          relative_error(got.at(block + ".output"), io.tensor("out.block." + block));
      CHECK_MESSAGE(error <= kBlockTolerance, block, ": ", error);
    }
    check_close(encodes ? "mean" : "video", got, io.tensor(encodes ? "out.mean" : "out.video"));
  }
}

namespace {

class Frames : public ClipSink {
 public:
  explicit Frames(int64_t bytes) : bytes_(bytes) {}
  Status frames(const uint8_t* p, int64_t count) override {
    pixels.insert(pixels.end(), p, p + count * bytes_);
    return Status();
  }
  Status audio(const float*, int64_t) override { return Status(); }
  std::vector<uint8_t> pixels;

 private:
  const int64_t bytes_;
};

// Weights that lie in the fixture under the names that a model gives them.
class Held : public WeightSource {
 public:
  Held(const Stored& io, const std::vector<Graph>& graphs)
      : map_(require_ok(
            WeightMap::create(io.file(), graphs, [](const std::string& name) { return name; }))) {}
  Result<TensorType> type(std::string_view name) const override { return map_.type(name); }
  Result<WeightData> load(std::string_view name) const override { return map_.load(name); }

 private:
  const WeightMap map_;
};

}  // namespace

TEST_CASE("Movie Gen's pipeline, from a prompt over three encoders and tiles to frames") {
  const Stored io("pipeline");
  const nlohmann::json &c = io.config, &dit = c.at("dit"), &t5 = c.at("t5");
  MovieGenPipeline p;
  p.dit.layers = dit.at("layers"), p.dit.width = dit.at("width");
  p.dit.heads = dit.at("heads"), p.dit.ffn = dit.at("ffn");
  p.dit.max_frames = dit.at("max")[0];
  p.dit.max_rows = dit.at("max")[1], p.dit.max_columns = dit.at("max")[2];
  p.dit.text.clear();
  for (const auto& encoder : dit.at("text"))
    p.dit.text.push_back({encoder[0].get<std::string>(), encoder[1].get<int64_t>()});
  const nlohmann::json& tae = c.at("tae");
  p.tae = {.latent_channels = tae.at("latents"),
           .levels = tae.at("levels"),
           .layers = tae.at("layers"),
           .groups = tae.at("groups")};
  p.ul2 = {.vocabulary = t5.at("vocab_size"),
           .width = p.dit.text[0].width,
           .layers = t5.at("num_layers"),
           .heads = t5.at("num_heads"),
           .head_dim = t5.at("d_kv"),
           .ffn = t5.at("d_ff"),
           .ffn_kind = T5Config::Ffn::kGatedSilu,
           .bias_a_layer = false};
  p.byt5 = p.ul2;
  p.byt5.width = p.dit.text[1].width;
  p.byt5.ffn_kind = T5Config::Ffn::kGatedGelu;
  p.text_ids = c.at("ids");
  p.metaclip = {.vocabulary = 300,
                .positions = p.text_ids,
                .width = p.dit.text[2].width,
                .layers = 2,
                .heads = 2,
                .ffn = 20,
                .eos = c.at("end"),
                .activation = ClipTextConfig::Activation::kGelu};
  p.most_side = 32, p.side = 8;
  p.frames = 32;
  p.linear_steps = c.at("linear_steps");
  p.guidance = c.at("guidance");

  Model model;
  model.name = "movie gen";
  model.recipe = moviegen_recipe(p);
  model.tokenizers[""] = {"bytes", nullptr};
  std::vector<Graph> graphs;
  const auto add = [&](const std::string& scope, const std::string& name, Result<Graph> built) {
    Graph graph = require_ok(std::move(built));
    graph.name = name;
    for (const ValueId id : graph.weights()) {
      std::string& weight = graph.values[static_cast<size_t>(id)].name;
      weight = scope + "/" + weight;
    }
    graphs.push_back(graph);
    model.components.emplace(name, std::move(graph));
  };
  add("dit", "dit", build_moviegen_dit(p.dit));
  add("tae", "encoder", build_tae_encoder(p.tae));
  add("tae", "decoder", build_tae_decoder(p.tae));
  add("ul2", "ul2", build_t5_encoder(p.ul2));
  add("byt5", "byt5", build_t5_encoder(p.byt5));
  add("metaclip", "metaclip", build_clip_text(p.metaclip));
  model.weights = std::make_shared<Held>(io, graphs);

  Request request;
  request.prompt = c.at("prompt");
  request.negative = c.at("negative");
  request.clip = {.width = c.at("width"), .height = c.at("height"), .frames = c.at("frames")};
  request.steps = c.at("steps");
  for (const double x : io.tensor("in.noise").data) request.noise.push_back(static_cast<float>(x));
  std::vector<uint8_t> expected;
  for (const double x : io.tensor("out.frames").data) expected.push_back(uint8_t(x));
  for (const char* device : {"cpu", "vulkan", "cuda"}) {
    if (!has_device(device)) continue;
    CAPTURE(std::string(device));
    EngineOptions options;
    options.placement.device = device;
    const auto engine = require_ok(Engine::create(model, std::move(options)));
    Frames out(request.clip.width * request.clip.height * 3);
    const auto ran = engine->run(request, out);
    REQUIRE_MESSAGE(ran.ok(), ran.status().message());
    REQUIRE(out.pixels.size() == expected.size());
    const double decibels = psnr(out.pixels, expected, 255);
    MESSAGE(device, ": ", decibels, " dB");
    CHECK(decibels >= 60);
    // What stands in quotation marks is read by an encoder of its own; the first is told the rate.
    for (const char* other : {"a sign says Open and late", "a sign"}) {
      Request changed = request;
      changed.prompt = other;
      Frames elsewhere(request.clip.width * request.clip.height * 3);
      REQUIRE(engine->run(changed, elsewhere).ok());
      CHECK(psnr(elsewhere.pixels, expected, 255) < 60);
    }
  }
}
