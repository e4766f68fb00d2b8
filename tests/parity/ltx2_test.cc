// LTX-2's networks against diffusers, block by block and whole. make_ltx2.py wrote the fixtures.
#include <fstream>

#include "models/ltx2/dit.h"
#include "models/ltx2/sound.h"
#include "models/ltx2/text_encoder.h"
#include "models/ltx2/upsampler.h"
#include "models/ltx2/video_vae.h"
#include "tests/parity/fixture.h"

using namespace zoetrope;

namespace {

constexpr double kBlockTolerance = 1e-5, kForwardTolerance = 1e-4;

struct Case {
  const char* network;
  Ltx2Config config;
};

Ltx2Config tiny(int64_t head_dim, int64_t sound_head_dim) {
  Ltx2Config c;
  c.layers = 2;
  c.video = {.channels = 5, .heads = 3, .head_dim = head_dim};
  c.sound = {.channels = 4, .heads = 3, .head_dim = sound_head_dim};
  return c;
}

std::vector<Case> cases() {
  Ltx2Config projected = tiny(10, 6);
  projected.text_width = projected.sound_text_width = 7;
  Ltx2Config gated = tiny(14, 8), pairs = tiny(12, 10);
  for (Ltx2Config* c : {&gated, &pairs}) {
    c->project_text = false;
    c->text_width = c->video.width();
    c->sound_text_width = c->sound.width();
    c->video.modulated_prompt = c->sound.modulated_prompt = true;
  }
  gated.video.gated_attention = gated.sound.gated_attention = true;
  gated.cross_time = true;
  gated.gate_time_scale = 500;
  pairs.rope = Ltx2Config::Rope::kInterleaved;
  pairs.prompt_by_time = pairs.video.ffn_bias = false;
  pairs.most_seconds = 10;
  pairs.most_height = 512;
  pairs.most_width = 256;
  pairs.sample_rate = 8000;
  pairs.hop = 100;
  pairs.frames_a_latent = 4;
  pairs.pixels_a_latent = 8;
  pairs.theta = 5000;
  return {{"dit", projected}, {"dit_gated", gated}, {"dit_pairs", pairs}};
}

EvalTensors with_prefix(const ParityFixture& io, const std::string& prefix) {
  EvalTensors found;
  for (const std::string& name : io.names(prefix)) found[name] = io.tensor(prefix + name);
  return found;
}

void check_within(double tolerance, const std::string& name, const EvalTensor& got,
                  const EvalTensor& expected) {
  REQUIRE(got.data.size() == expected.data.size());
  const double error = relative_error(got, expected);
  CHECK_MESSAGE(error <= tolerance, name, ": relative error ", error);
}

}  // namespace

TEST_CASE("LTX-2's transformers equal diffusers', block by block") {
  int compared = 0;
  for (const Case& network : cases()) {
    CAPTURE(network.network);
    const ParityFixture io(std::string("ltx2/") + network.network);
    for (int number = 0; number < 4; ++number) {
      const std::string prefix = std::to_string(number) + ".";
      CAPTURE(prefix);
      EvalTensors inputs = with_prefix(io, prefix + "in.");
      if (inputs.empty()) continue;
      Ltx2Config config = network.config;
      config.video.known_latents = config.sound.known_latents = inputs.contains("known");
      config.weaker = number >= 2;
      if (config.weaker) {
        config.skipped_attention = {1};
        inputs["isolated"] = EvalTensor{inputs.at("time").shape, {number == 2 ? 1.0 : 0.0}};
        inputs["skipped"] = EvalTensor{inputs.at("time").shape, {number == 3 ? 1.0 : 0.0}};
      }
      const Graph graph = require_ok(build_ltx2_dit(config));
      const Shape& video = inputs.at("video").shape;
      const Graph bound = require_ok(bind(graph, {{"batch", video[0]},
                                                  {"frames", video[1]},
                                                  {"height", video[2]},
                                                  {"width", video[3]},
                                                  {"sound_frames", inputs.at("sound").shape[1]},
                                                  {"text_length", inputs.at("text").shape[1]}}));
      const auto weights = require_ok(WeightMap::create(
          io.file(), {graph}, [](const std::string& name) { return "weights." + name; }));
      std::vector<std::string> watch;
      for (int i = 0; i < 2; ++i)
        for (const char* stream : {"video", "sound"})
          watch.push_back("transformer_blocks." + std::to_string(i) + "." + stream);
      const EvalTensors got = require_ok(
          reference_evaluate(bound, inputs, weights, {.round_to_dtype = true, .watch = watch}));
      for (int i = 0; i < 2; ++i)
        for (const char* stream : {"video", "sound"}) {
          const std::string block = std::to_string(i) + "." + stream;
          check_within(kBlockTolerance, block, got.at("transformer_blocks." + block),
                       io.tensor(prefix + "block." + block));
        }
      for (const char* stream : {"video", "sound"}) {
        const std::string name = std::string(stream) + "_velocity";
        EvalTensor expected = io.tensor(prefix + "out." + name), found = got.at(name);
        REQUIRE(found.shape == expected.shape);
        if (config.video.known_latents) {  // where a latent is known, the velocity leads to it
          const std::string which = std::string(stream) == "video" ? "" : "sound_";
          const EvalTensor &x = inputs.at(stream), &known = inputs.at(which + "known"),
                           &mask = inputs.at(which + "known_mask");
          const size_t channels = expected.data.size() / mask.data.size();
          for (size_t k = 0; k < expected.data.size(); ++k)
            if (mask.data[k / channels] == 1)
              expected.data[k] += (x.data[k] - known.data[k]) / inputs.at("time").data[0];
        }
        check_within(kForwardTolerance, name, found, expected);
        ++compared;
      }
    }
  }
  CHECK(compared == 20);
}

namespace {

// Named values of a graph with the weights of a fixture, rounded to f32 as the reference's are:
// rotary angles of thousands of radians differ otherwise.
EvalTensors compute(const ParityFixture& io, const Graph& graph, const Bindings& bindings,
                    const EvalTensors& inputs, const std::vector<std::string>& watch) {
  const Graph bound = require_ok(bind(graph, bindings));
  const auto weights = require_ok(WeightMap::create(
      io.file(), {graph}, [](const std::string& name) { return "weights." + name; }));
  return require_ok(
      reference_evaluate(bound, inputs, weights, {.round_to_dtype = true, .watch = watch}));
}

Ltx2TextConfig tiny_text(bool streams) {
  Ltx2TextConfig c;
  c.gemma = {.vocabulary = 29,
             .width = 12,
             .layers = 3,
             .ffn = 10,
             .heads = 4,
             .key_heads = 2,
             .head_dim = 6,
             .score_scale = 5,
             .window = 3,
             .sliding = {true, false, true},
             .theta = 5000,
             .sliding_theta = 100,
             .position_divisor = 4};
  c.places = 12;
  c.video = {.heads = 3, .head_dim = 4, .layers = 2, .registers = 4};
  c.sound = {.heads = 2, .head_dim = 6, .layers = 1, .registers = 6};
  c.longest = 32;
  if (!streams) return c;
  c.gemma.layers = 18;
  c.gemma.key_heads = 1;
  c.gemma.sliding.clear();
  c.video = {.heads = 3, .head_dim = 6, .layers = 2, .registers = 3, .gated_attention = true};
  c.sound = {.heads = 2, .head_dim = 4, .layers = 2, .registers = 3, .gated_attention = true};
  c.projection_a_stream = c.projection_bias = true;
  c.split_rope = false;
  c.longest = 16;
  return c;
}

// Of 2.5's kind.
Ltx2TextConfig tiny_fourth() {
  Ltx2TextConfig c = tiny_text(false);
  c.gemma.layers = 4;
  c.gemma.sliding = {true, false, true, false};
  c.gemma.position_divisor = 1;
  c.gemma.fourth = c.gemma.values_are_keys = true;
  c.gemma.full_head_dim = 8;
  c.gemma.full_key_heads = 1;
  c.gemma.partial_rotary_factor = 0.5;
  c.video = {.heads = 3, .head_dim = 6, .layers = 2, .registers = 3};
  c.sound = {.heads = 2, .head_dim = 4, .layers = 2, .registers = 3};
  c.projection_a_stream = c.projection_bias = true;
  c.longest = 16;
  return c;
}

}  // namespace

TEST_CASE("LTX-2's text equals what transformers and diffusers make of it") {
  for (const auto& [name, config] : {std::pair{"ltx2/text", tiny_text(false)},
                                     {"ltx2/text_streams", tiny_text(true)},
                                     {"ltx2/text_fourth", tiny_fourth()}}) {
    const ParityFixture io(name);
    const Graph graph = require_ok(build_ltx2_text_encoder(config));
    for (const char* number : {"0", "1"}) {
      CAPTURE(name);
      CAPTURE(number);
      const std::string prefix = std::string(number) + ".";
      const EvalTensors inputs = with_prefix(io, prefix + "in.");
      const EvalTensor& lengths = inputs.at("lengths");
      const int64_t longest = inputs.at("ids").shape[1];
      std::vector<std::string> watch;
      const std::vector<std::string> layers = io.names(prefix + "layer.");
      CHECK(layers.size() + 1 == static_cast<size_t>(config.gemma.layers));
      for (const std::string& layer : layers) watch.push_back("gemma.layers." + layer + ".output");
      const EvalTensors got =
          compute(io, graph, {{"batch", 2}, {"text_length", longest}}, inputs, watch);
      for (const std::string& layer : layers) {
        EvalTensor found = got.at("gemma.layers." + layer + ".output"),
                   expected = io.tensor(prefix + "layer." + layer);
        for (int64_t row = 0; row < 2; ++row)  // what lies behind a row's text means nothing
          for (auto i = static_cast<int64_t>(lengths.data[static_cast<size_t>(row)]); i < longest;
               ++i)
            for (int64_t c = 0; c < config.gemma.width; ++c) {
              const auto k = static_cast<size_t>((row * longest + i) * config.gemma.width + c);
              found.data[k] = expected.data[k] = 0;
            }
        check_within(kBlockTolerance, "layer " + layer, found, expected);
      }
      check_within(kForwardTolerance, "text", got.at("text"), io.tensor(prefix + "out.text"));
    }
  }
}

TEST_CASE("LTX-2's autoencoder of video equals diffusers', block by block") {
  using Change = Ltx2VaeConfig::Change;
  Ltx2VaeConfig plain;
  plain.latent_channels = 6;
  plain.patch = 2;
  plain.encoder = {{8, 1, Change::kSpatial}, {16, 1, Change::kTemporal}, {32, 2, Change::kBoth}};
  plain.encoder_middle = 1;
  plain.decoder = {{16, 1, Change::kBoth, true, 2}, {8, 1, Change::kSpatial, false, 1}};
  plain.decoder_middle = 2;
  Ltx2VaeConfig causal;
  causal.latent_channels = 5;
  causal.encoder = {{10, 1, Change::kTemporal}, {10, 1, Change::kNone}};
  causal.encoder_middle = 1;
  causal.decoder = {{8, 1, Change::kTemporal, true, 2}, {16, 1, Change::kBoth, true, 1}};
  causal.decoder_middle = 1;
  causal.decoder_causal = causal.encoder_reflects = true;
  causal.decoder_reflects = false;
  for (const auto& [name, config] : {std::pair{"ltx2/vae", plain}, {"ltx2/vae_causal", causal}}) {
    CAPTURE(name);
    const ParityFixture io(name);
    for (const bool encodes : {true, false})
      for (const char* number : {"0", "1"}) {
        CAPTURE(number);
        const std::string prefix = std::string(number) + ".",
                          part = encodes ? "encoder" : "decoder";
        const Graph graph = require_ok(encodes ? build_ltx2_video_encoder(config)
                                               : build_ltx2_video_decoder(config));
        const EvalTensor input = io.tensor(prefix + (encodes ? "video" : "latents"));
        const int64_t space = encodes ? config.space() : 1;
        const Bindings bindings{
            {"batch", input.shape[0]},
            {"frames", encodes ? (input.shape[1] - 1) / config.time() : input.shape[1]},
            {"height", input.shape[2] / space},
            {"width", input.shape[3] / space}};
        std::vector<std::string> watch;
        const std::vector<std::string> blocks = io.names(prefix + part + ".block.");
        CHECK(!blocks.empty());
        for (const std::string& block : blocks) watch.push_back(part + "." + block + ".output");
        const EvalTensors got =
            compute(io, graph, bindings, {{encodes ? "video" : "latents", input}}, watch);
        for (const std::string& block : blocks)
          check_within(kBlockTolerance, block, got.at(part + "." + block + ".output"),
                       io.tensor(prefix + part + ".block." + block));
        const EvalTensor expected = io.tensor(prefix + (encodes ? "mean" : "decoded"));
        const EvalTensor& found = got.at(encodes ? "mean" : "video");
        REQUIRE(found.shape == expected.shape);
        check_within(kForwardTolerance, part, found, expected);
      }
  }
}

TEST_CASE("LTX-2's upsamplers of latents equal diffusers', block by block") {
  Ltx2UpsamplerConfig rational;
  rational.channels = 5;
  rational.width = 32;
  rational.blocks = 1;
  rational.over_time = false;
  rational.numerator = 3;
  rational.denominator = 2;
  Ltx2UpsamplerConfig time = rational;
  time.channels = 4;
  time.over_time = time.temporal = true;
  time.spatial = false;
  for (const auto& [name, config] :
       {std::pair{"ltx2/upsampler", rational}, {"ltx2/upsampler_time", time}}) {
    CAPTURE(name);
    const ParityFixture io(name);
    for (const char* number : {"0", "1"}) {
      CAPTURE(number);
      const std::string prefix = std::string(number) + ".";
      const Graph graph = require_ok(build_ltx2_upsampler(config));
      const EvalTensor input = io.tensor(prefix + "latents");
      const Bindings bindings{{"batch", input.shape[0]},
                              {"frames", input.shape[1]},
                              {"height", input.shape[2]},
                              {"width", input.shape[3]}};
      std::vector<std::string> watch;
      const std::vector<std::string> blocks = io.names(prefix + "block.");
      CHECK(blocks.size() == 2);
      for (const std::string& block : blocks) watch.push_back(block + ".output");
      const EvalTensors got = compute(io, graph, bindings, {{"latents", input}}, watch);
      for (const std::string& block : blocks)
        check_within(kBlockTolerance, block, got.at(block + ".output"),
                     io.tensor(prefix + "block." + block));
      const EvalTensor expected = io.tensor(prefix + "upsampled");
      REQUIRE(got.at("upsampled").shape == expected.shape);
      check_within(kForwardTolerance, "upsampled", got.at("upsampled"), expected);
    }
  }
  Ltx2UpsamplerConfig alone = time;
  alone.over_time = false;
  CHECK_FALSE(build_ltx2_upsampler(alone).ok());
}

TEST_CASE("LTX-2's sound equals diffusers', from latents over the spectrogram to samples") {
  Ltx2SoundConfig config;
  config.latent_channels = config.latent_bins = 3;
  config.bins = 12;
  config.base = 4;
  config.levels = {1, 2, 3};
  config.blocks = 1;
  config.vocoder.width = 12;
  config.vocoder.ups = {{3, 7}, {2, 4}};
  config.vocoder.kernels = {{3, {1, 3}}, {5, {2, 5, 1}}};
  config.vocoder.slope = 0.2;
  CHECK(config.samples() == 24);
  CHECK(Ltx2SoundConfig().samples() == 960);  // 25 latents a second of 24 kHz
  const ParityFixture io("ltx2/sound");
  const Graph graph = require_ok(build_ltx2_sound_decoder(config));
  for (const char* number : {"0", "1"}) {
    const std::string prefix = std::string(number) + ".";
    const EvalTensors inputs = with_prefix(io, prefix + "in.");
    const Shape& latents = inputs.at("latents").shape;
    const EvalTensors got = compute(io, graph, {{"batch", latents[0]}, {"frames", latents[1]}},
                                    inputs, {"audio_vae.decoder.mel"});
    check_within(kBlockTolerance, "mel", got.at("audio_vae.decoder.mel"),
                 io.tensor(prefix + "mel"));
    // The reference ends three frames of the spectrogram earlier: there is silence.
    const EvalTensor expected = io.tensor(prefix + "sound"), &all = got.at("sound");
    REQUIRE(all.shape == Shape({latents[0], latents[1] * config.samples(), config.channels}));
    EvalTensor found{expected.shape, {}};
    const int64_t row = all.shape[1] * all.shape[2], kept = expected.shape[1] * expected.shape[2];
    for (int64_t i = 0; i < latents[0]; ++i)
      for (int64_t k = 0; k < row; ++k) {
        const double sample = all.data[static_cast<size_t>(i * row + k)];
        if (k < kept)
          found.data.push_back(sample);
        else
          CHECK(sample == 0);
      }
    check_within(kForwardTolerance, "sound", found, expected);
  }
}

TEST_CASE("given sound becomes latents as torchaudio and diffusers make them") {
  const ParityFixture io("ltx2/sound_encoder");
  Ltx2SoundConfig config;
  config.base = 4;
  config.levels = {1, 2, 3};
  config.blocks = 1;
  config.latent_channels = config.latent_bins = 3;
  config.bins = 12;
  REQUIRE(config.samples() == 960);
  const Graph graph = require_ok(build_ltx2_sound_encoder(config));
  for (const char* number : {"0", "1"}) {
    CAPTURE(number);
    const std::string prefix = std::string(number) + ".";
    const EvalTensor sound = io.tensor(prefix + "in.sound");
    const int64_t frames = sound.shape[1] / config.samples();
    std::vector<std::string> watch{"mel"};
    const std::vector<std::string> blocks = io.names(prefix + "encoder.block.");
    CHECK(blocks.size() == 5);
    for (const std::string& block : blocks)
      watch.push_back("audio_vae.encoder." + block + ".output");
    const EvalTensors got = compute(io, graph, {{"batch", sound.shape[0]}, {"frames", frames}},
                                    {{"sound", sound}}, watch);
    // The reference's encoder sees what comes behind, without looking at it.
    const auto first = [](EvalTensor whole, const Shape& shape) {
      EvalTensor part{shape, {}};
      const int64_t row = shape.elements() / shape[0] / shape[1];
      for (int64_t b = 0; b < shape[0]; ++b)
        part.data.insert(part.data.end(), whole.data.begin() + b * whole.shape[1] * row,
                         whole.data.begin() + (b * whole.shape[1] + shape[1]) * row);
      return part;
    };
    const EvalTensor& mel = got.at("mel");
    check_within(kBlockTolerance, "mel", mel, first(io.tensor(prefix + "mel"), mel.shape));
    for (const std::string& block : blocks) {
      const EvalTensor& found = got.at("audio_vae.encoder." + block + ".output");
      check_within(kBlockTolerance, block, found,
                   first(io.tensor(prefix + "encoder.block." + block), found.shape));
    }
    check_within(kForwardTolerance, "mean", got.at("mean"), io.tensor(prefix + "mean"));
  }
}

TEST_CASE("LTX-2.3's vocoders equal diffusers': snakes, their resampling, the widened band") {
  using Activation = Ltx2Generator::Activation;
  using Final = Ltx2Generator::Final;
  Ltx2SoundConfig base;
  base.latent_channels = base.latent_bins = 3;
  base.bins = 12;
  base.base = 4;
  base.levels = {1, 2, 3};
  base.blocks = 1;
  base.vocoder.width = 12;
  base.vocoder.ups = {{3, 7}, {2, 4}};
  base.vocoder.kernels = {{3, {1, 3}}, {5, {2, 5, 1}}};
  base.vocoder.final = Final::kNone;
  base.vocoder.final_bias = false;
  Ltx2SoundConfig snake = base, wide = base;
  snake.vocoder.activation = Activation::kSnake;
  snake.vocoder.final = Final::kClamp;
  snake.vocoder.ratio = 3;
  snake.vocoder.filter = 13;
  wide.vocoder.activation = Activation::kSnakeBeta;
  wide.vocoder.antialias = true;
  wide.bandwidth = {.generator = wide.vocoder, .window = 16, .hop = 3, .bins = 5, .ratio = 4};
  wide.bandwidth->generator.width = 8;
  wide.bandwidth->generator.ups = {{6, 12}, {2, 4}};
  wide.bandwidth->generator.kernels = {{3, {1, 2}}};
  CHECK(ltx2_3_sound().samples() == 1920);  // 25 latents a second of 48 kHz
  for (const auto& [name, config] :
       {std::pair{"ltx2/sound_snake", snake}, {"ltx2/sound_wide", wide}}) {
    CAPTURE(name);
    const ParityFixture io(name);
    const Graph graph = require_ok(build_ltx2_sound_decoder(config));
    const EvalTensors inputs = with_prefix(io, "in.");
    const Shape& latents = inputs.at("latents").shape;
    const EvalTensor all =
        compute(io, graph, {{"batch", latents[0]}, {"frames", latents[1]}}, inputs, {}).at("sound");
    const EvalTensor expected = io.tensor("sound");
    REQUIRE(all.shape == Shape({latents[0], latents[1] * config.samples(), config.channels}));
    EvalTensor found{expected.shape, {}};
    const int64_t row = all.shape[1] * all.shape[2], kept = expected.shape[1] * expected.shape[2];
    for (int64_t i = 0; i < latents[0]; ++i)
      for (int64_t k = 0; k < kept; ++k)
        found.data.push_back(all.data[static_cast<size_t>(i * row + k)]);
    check_within(kForwardTolerance, "sound", found, expected);
  }
}

namespace {

double parameters_of(const Graph& graph, const std::string& without = "none") {
  double parameters = 0;
  for (const ValueId id : graph.weights()) {
    if (graph.value(id).name.starts_with(without)) continue;
    double n = 1;
    for (const Dim& dim : graph.value(id).dims) n *= static_cast<double>(dim.constant());
    parameters += n;
  }
  return parameters;
}

}  // namespace

// Counted in diffusers 0.42.1, with the configurations that are published.
TEST_CASE("published sizes of LTX-2's networks have diffusers' parameters") {
  CHECK(parameters_of(require_ok(build_ltx2_dit(ltx2_19b()))) == 18'876'174'592);
  CHECK(parameters_of(require_ok(build_ltx2_dit(ltx2_3()))) == 18'988'838'144);
  CHECK(parameters_of(require_ok(build_ltx2_text_encoder(ltx2_text())), "gemma.") == 1'431'475'200);
  CHECK(parameters_of(require_ok(build_ltx2_text_encoder(ltx2_3_text())), "gemma.") ==
        3'172'227'584);
  CHECK(parameters_of(require_ok(build_ltx2_video_encoder({}))) == 694'098'881);
  CHECK(parameters_of(require_ok(build_ltx2_video_decoder({}))) == 528'380'720);
  CHECK(parameters_of(require_ok(build_ltx2_video_encoder(ltx2_3_vae()))) == 318'936'897);
  CHECK(parameters_of(require_ok(build_ltx2_video_decoder(ltx2_3_vae()))) == 407'169'072);
  CHECK(parameters_of(require_ok(build_ltx2_sound_decoder({}))) == 87'507'940);
  CHECK(parameters_of(require_ok(build_ltx2_sound_decoder(ltx2_3_sound()))) == 160'737'002);
}
