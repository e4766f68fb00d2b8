// Movie Gen's autoencoder and its sound's networks against implementations written from the paper
// (make_moviegen.py).
#include <doctest/doctest.h>

#include "models/moviegen/audio.h"
#include "models/moviegen/codec.h"
#include "models/moviegen/tae.h"
#include "tests/parity/moviegen_fixture.h"

using namespace zoetrope;
using namespace zoetrope::moviegen_fixture;

namespace {

constexpr double kBlockTolerance = 1e-5;

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

TEST_CASE("Movie Gen's pipeline, from a prompt over three encoders and tiles to frames") {
  const Stored io("pipeline");
  const Model model = model_of(io, pipeline_of(io));
  const Request request = request_of(io);
  const std::vector<uint8_t> expected = io.bytes("out.frames");
  on_each_device(model, [&](Engine& engine, const char* device) {
    const std::vector<uint8_t> made = frames_of(engine, request);
    REQUIRE(made.size() == expected.size());
    const double decibels = psnr(made, expected, 255);
    MESSAGE(std::string(device), ": ", decibels, " dB");
    CHECK(decibels >= 60);
    // What stands in quotation marks is read by an encoder of its own; the first is told the rate.
    for (const char* other : {"a sign says Open and late", "a sign"}) {
      Request changed = request;
      changed.prompt = other;
      CHECK(psnr(frames_of(engine, changed), expected, 255) < 60);
    }
  });
}
