// MiniMax-H3's networks against diffusers and transformers, block by block and whole.
// make_minimax_h3.py wrote the fixtures.
#include "converters/minimax_h3_keys.h"
#include "models/minimax_h3/dit.h"
#include "models/minimax_h3/sound.h"
#include "models/minimax_h3/video_vae.h"
#include "models/qwen3/qwen3.h"
#include "models/qwen3/vision.h"
#include "runtime/engine/tile_canvas.h"
#include "tests/parity/fixture.h"

using namespace zoetrope;

namespace {

constexpr double kBlockTolerance = 1e-5, kForwardTolerance = 1e-4;

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

// What is behind a row's words means nothing.
void clear_behind(EvalTensor* x, const EvalTensor& lengths) {
  const int64_t rows = x->shape[0], places = x->shape[1], width = x->shape[2];
  for (int64_t row = 0; row < rows; ++row)
    for (auto i = static_cast<int64_t>(lengths.data[static_cast<size_t>(row)]); i < places; ++i)
      for (int64_t c = 0; c < width; ++c)
        x->data[static_cast<size_t>((row * places + i) * width + c)] = 0;
}

EvalTensors compute(const ParityFixture& io, const Graph& graph, const Bindings& bindings,
                    const EvalTensors& inputs, const std::vector<std::string>& watch,
                    std::string (*key)(const std::string&) = nullptr) {
  const Graph bound = require_ok(bind(graph, bindings));
  const auto weights =
      require_ok(WeightMap::create(io.file(), {graph}, [&](const std::string& name) {
        return "weights." + (key == nullptr ? name : key(name));
      }));
  return require_ok(
      reference_evaluate(bound, inputs, weights, {.round_to_dtype = true, .watch = watch}));
}

MiniMaxH3Config tiny() {
  MiniMaxH3Config c;
  c.layers = c.refiner_layers = 2;
  c.width = 20;
  c.heads = 3;
  c.head_dim = 14;
  c.ffn = 24;
  c.channels = 3;
  c.sound_channels = 4;
  c.text_width = 10;
  c.time_features = 16;
  c.time_hidden = 18;
  c.time_width = 12;
  c.rope_freq_dim = 2;
  c.theta = 5000;
  c.epsilon = 1e-3;
  c.qk_epsilon = 2e-3;
  c.final_epsilon = 3e-3;
  return c;
}

MiniMaxH3VaeConfig tiny_vae(bool other) {
  MiniMaxH3VaeConfig c;
  c.latent_channels = 3;
  c.levels = {{4, 2, 2}, {8, 2, 2}, {8, 1, 1}};
  c.groups = 2;
  c.epsilon = c.decoder_epsilon = 1e-3;
  c.layers = c.heads = c.ffn_factor = 2;
  c.head_dim = 16;
  c.registers = 3;
  c.theta = 50;
  if (!other) return c;
  c.latent_channels = 4;
  c.levels = {{8, 2, 2}, {12, 2, 2}};
  c.blocks = c.layers = c.registers = 1;
  c.epsilon = 1e-6;
  c.decoder_epsilon = 1e-5;
  c.reflects = false;
  c.heads = 3;
  c.head_dim = 12;
  c.ffn_factor = 4;
  c.theta = 100;
  c.rope_dim_ratio = 1;
  c.clip_length = 10;
  c.token_drop = 2;
  return c;
}

}  // namespace

TEST_CASE("MiniMax-H3's transformer equals diffusers', block by block") {
  const ParityFixture io("minimax_h3/dit");
  const Graph graph = require_ok(build_minimax_h3_dit(tiny()));
  for (const char* number : {"0", "1", "2"}) {
    CAPTURE(number);
    const std::string prefix = std::string(number) + ".";
    const EvalTensors inputs = with_prefix(io, prefix + "in.");
    const Shape& video = inputs.at("video").shape;
    const Bindings bindings{{"batch", video[0]},
                            {"frames", video[1]},
                            {"height", video[2] / 2},
                            {"width", video[3] / 2},
                            {"sound_frames", inputs.at("sound").shape[1]},
                            {"text_length", inputs.at("text").shape[1]}};
    std::vector<std::string> watch;
    for (const std::string& name : io.names(prefix + "block."))
      watch.push_back("transformer_blocks." + name);
    CHECK(watch.size() == 6);
    EvalTensors got = compute(io, graph, bindings, inputs, watch);
    for (const std::string& name : io.names(prefix + "block.")) {
      EvalTensor& found = got.at("transformer_blocks." + name);
      if (name.ends_with("text")) clear_behind(&found, inputs.at("text_lengths"));
      check_within(kBlockTolerance, name, found, io.tensor(prefix + "block." + name));
    }
    for (const char* name : {"video_velocity", "sound_velocity"}) {
      const EvalTensor expected = io.tensor(prefix + "out." + name);
      REQUIRE(got.at(name).shape == expected.shape);
      check_within(kForwardTolerance, name, got.at(name), expected);
    }
  }
}

TEST_CASE("MiniMax-H3's transformer with pictures at the ends equals diffusers', block by block") {
  const ParityFixture io("minimax_h3/dit_ended");
  const Graph graph = require_ok(build_minimax_h3_dit_ended(tiny()));
  for (const char* number : {"0", "1"}) {
    CAPTURE(number);
    const std::string prefix = std::string(number) + ".";
    const EvalTensors inputs = with_prefix(io, prefix + "in.");
    const Shape& video = inputs.at("video").shape;
    const Bindings bindings{{"batch", 1},
                            {"frames", video[1]},
                            {"height", video[2] / 2},
                            {"width", video[3] / 2},
                            {"sound_frames", inputs.at("sound").shape[1]},
                            {"pictures", inputs.at("ends").shape[1]},
                            {"text_length", inputs.at("text").shape[1]}};
    std::vector<std::string> watch;
    for (const std::string& name : io.names(prefix + "block."))
      watch.push_back("transformer_blocks." + name);
    CHECK(watch.size() == 8);
    const EvalTensors got = compute(io, graph, bindings, inputs, watch);
    for (const std::string& name : io.names(prefix + "block."))
      check_within(kBlockTolerance, name, got.at("transformer_blocks." + name),
                   io.tensor(prefix + "block." + name));
    for (const char* name : {"video_velocity", "sound_velocity"})
      check_within(kForwardTolerance, name, got.at(name), io.tensor(prefix + "out." + name));
  }
}

TEST_CASE("MiniMax-H3's autoencoder of video equals diffusers', block by block") {
  for (const bool other : {false, true}) {
    const ParityFixture io(other ? "minimax_h3/vae_other" : "minimax_h3/vae");
    const MiniMaxH3VaeConfig config = tiny_vae(other);
    CHECK(config.piece() == (other ? 4 : 7));
    CHECK(config.piece_frames() == (other ? 12 : 22));
    for (const bool encodes : {true, false})
      for (const char* number : {"0", "1"}) {
        CAPTURE(other);
        CAPTURE(encodes);
        CAPTURE(number);
        const std::string prefix = std::string(number) + ".";
        const Graph graph = require_ok(encodes ? build_minimax_h3_video_encoder(config)
                                               : build_minimax_h3_video_decoder(config));
        const EvalTensor input = io.tensor(prefix + (encodes ? "video" : "latents"));
        const int64_t space = encodes ? config.space() : 1;
        Bindings bindings{{"batch", input.shape[0]},
                          {"height", input.shape[2] / space},
                          {"width", input.shape[3] / space}};
        if (encodes) bindings["frames"] = (input.shape[1] - 1) / config.time();
        std::vector<std::string> watch, blocks;
        for (const std::string& block : io.names(prefix + "block."))
          if (block.starts_with(encodes ? "encoder." : "decoder.")) blocks.push_back(block);
        CHECK(blocks.size() == (other ? (encodes ? 2 : 1) : (encodes ? 6 : 2)));
        for (const std::string& block : blocks) watch.push_back(block + ".output");
        const EvalTensors got =
            compute(io, graph, bindings, {{encodes ? "video" : "latents", input}}, watch);
        for (const std::string& block : blocks)
          check_within(kBlockTolerance, block, got.at(block + ".output"),
                       io.tensor(prefix + "block." + block));
        const auto whole = [&](const std::string& name, const std::string& stored) {
          const EvalTensor expected = io.tensor(prefix + stored);
          REQUIRE(got.at(name).shape == expected.shape);
          check_within(kForwardTolerance, name, got.at(name), expected);
        };
        if (encodes) {
          whole("mean", "mean");
          whole("deviation", "deviation");
        } else {
          whole("video", "decoded");
        }
      }
  }
}

TEST_CASE("MiniMax-H3's autoencoder of sound equals diffusers', block by block") {
  MiniMaxH3SoundConfig config;
  config.base = 4;
  config.strides = {2, 3, 5};
  config.trunk = 16;
  config.latent_channels = 4;
  config.heads = 2;
  config.decoder.width = 16;
  config.decoder.ups = {{5, 9}, {3, 5}, {2, 4}};
  config.decoder.kernels = {{3, {1, 3, 5}}, {5, {1, 2}}};
  const ParityFixture io("minimax_h3/sound");
  for (const char* number : {"0", "1"}) {
    CAPTURE(number);
    const std::string prefix = std::string(number) + ".";
    const EvalTensor sound = io.tensor(prefix + "sound"), latents = io.tensor(prefix + "latents");
    const Bindings bindings{{"batch", sound.shape[0]}, {"frames", latents.shape[1]}};
    std::vector<std::string> watch;
    for (const std::string& block : io.names(prefix + "block."))
      watch.push_back(block + ".block.output");
    CHECK(watch.size() == 9);
    const EvalTensors encoded = compute(io, require_ok(build_minimax_h3_sound_encoder(config)),
                                        bindings, {{"sound", sound}}, watch, minimax_h3_sound_key);
    for (const std::string& block : io.names(prefix + "block."))
      check_within(kBlockTolerance, block, encoded.at(block + ".block.output"),
                   io.tensor(prefix + "block." + block));
    check_within(kForwardTolerance, "mean", encoded.at("mean"), io.tensor(prefix + "mean"));
    const EvalTensors decoded = compute(io, require_ok(build_minimax_h3_sound_decoder(config)),
                                        bindings, {{"latents", latents}}, {}, minimax_h3_sound_key);
    const EvalTensor expected = io.tensor(prefix + "decoded");
    REQUIRE(decoded.at("sound").shape == expected.shape);
    check_within(kForwardTolerance, "sound", decoded.at("sound"), expected);
  }
}

TEST_CASE("Qwen3-VL's words equal transformers', layer by layer") {
  Qwen3Config config;
  config.vocabulary = 37;
  config.width = 12;
  config.layers = 3;  // of four: what is read is no last state
  config.ffn = 18;
  config.heads = 6;
  config.key_heads = 2;
  config.head_dim = 8;
  config.epsilon = 1e-3;
  config.theta = 5000;
  const ParityFixture io("minimax_h3/text");
  const Graph graph = require_ok(build_qwen3_text_encoder(config));
  EvalTensors got = compute(io, graph, {{"batch", 2}, {"text_length", 9}},
                            {{"ids", io.tensor("ids")}, {"lengths", io.tensor("lengths")}},
                            {"layers.0.output", "layers.1.output", "layers.2.output"});
  for (const char* layer : {"0", "1", "2"}) {
    EvalTensor& found = got.at(std::string("layers.") + layer + ".output");
    clear_behind(&found, io.tensor("lengths"));
    check_within(kBlockTolerance, layer, found, io.tensor(std::string("layer.") + layer));
  }
  clear_behind(&got.at("text"), io.tensor("lengths"));
  check_within(kBlockTolerance, "text", got.at("text"), io.tensor("layer.2"));
}

// One of several that are first in a tensor.
EvalTensor one_of(const EvalTensor& all, int64_t index) {
  EvalTensor one = all;
  one.shape[0] = 1;
  const size_t size = all.data.size() / static_cast<size_t>(all.shape[0]);
  const auto begin = all.data.begin() + index * static_cast<int64_t>(size);
  one.data.assign(begin, begin + static_cast<int64_t>(size));
  return one;
}

TEST_CASE("Qwen3-VL's pictures, and words with pictures among them, equal transformers'") {
  const ParityFixture io("minimax_h3/sight");
  Qwen3VisionConfig vision;
  vision.layers = 3;
  vision.width = 16;
  vision.heads = vision.frames = vision.merge = 2;
  vision.ffn = 20;
  vision.patch = 4;
  vision.out_width = 12;
  vision.grid = 5;
  vision.deep = {0, 2};
  Qwen3Config text;
  text.vocabulary = 37;
  text.width = 12;
  text.layers = 3;
  text.ffn = 18;
  text.heads = 6;
  text.key_heads = text.deep = 2;
  text.head_dim = 8;
  text.epsilon = 1e-3;
  text.theta = 5000;
  text.row_turns = text.column_turns = 1;
  const Graph sees = require_ok(build_qwen3_vision(vision));
  const Graph reads = require_ok(build_qwen3_text_seeing(text));
  for (const char* number : {"0", "1"}) {
    CAPTURE(number);
    const std::string prefix = std::string(number) + ".";
    const EvalTensor pixels = io.tensor(prefix + "pixels"),
                     features = io.tensor(prefix + "features");
    const Bindings size{{"rows", pixels.shape[1] / 8}, {"columns", pixels.shape[2] / 8}};
    for (int64_t i = 0; i < 2; ++i) {
      const EvalTensors got = compute(io, sees, size, {{"pixels", one_of(pixels, i)}},
                                      {"blocks.0.output", "blocks.1.output", "blocks.2.output"},
                                      [](const std::string& name) { return "visual." + name; });
      for (int64_t k = 0; k < 3; ++k)
        check_within(kBlockTolerance, str("block ", k), got.at(str("blocks.", k, ".output")),
                     one_of(io.tensor(str(prefix, "block.", k)), i));
      check_within(kBlockTolerance, "features", got.at("features"), one_of(features, i));
    }
    EvalTensor both = features;
    both.shape = {1, 2 * features.shape[1], features.shape[2]};
    const EvalTensor ids = io.tensor(prefix + "ids");
    EvalTensor length = one_of(ids, 0);
    length.shape = {1};
    length.data = {static_cast<double>(ids.shape[1])};
    const EvalTensors got =
        compute(io, reads, {{"batch", 1}, {"text_length", ids.shape[1]}, {"places", both.shape[1]}},
                {{"ids", ids},
                 {"lengths", length},
                 {"features", both},
                 {"reads", io.tensor(prefix + "reads")},
                 {"positions", io.tensor(prefix + "positions")}},
                {}, [](const std::string& name) { return "language_model." + name; });
    check_within(kBlockTolerance, "text", got.at("text"), io.tensor(prefix + "text"));
  }
}

TEST_CASE("stitched tiles lie and mix as diffusers' do") {
  const ParityFixture io("minimax_h3/tiles");
  const TileSpec spec{.length = 4, .overlap = 1, .stitched = true};
  constexpr int64_t kScale = 4;
  for (const char* number : {"0", "1", "2"}) {
    CAPTURE(number);
    const std::string prefix = std::string(number) + ".";
    const EvalTensor tiles = io.tensor(prefix + "tiles"), whole = io.tensor(prefix + "whole");
    const TilePlan rows = plan_tiles(whole.shape[0] / kScale, spec),
                   columns = plan_tiles(whole.shape[1] / kScale, spec);
    const auto lie = [&](const TilePlan& plan, const std::string& name) {
      const EvalTensor starts = io.tensor(prefix + name);
      REQUIRE(plan.tiles.size() == starts.data.size());
      for (size_t i = 0; i < starts.data.size(); ++i)
        CHECK(static_cast<double>(plan.tiles[i].start * kScale) == starts.data[i]);
    };
    lie(rows, "rows");
    lie(columns, "columns");
    TileCanvas canvas(rows, columns, kScale, 3);
    const std::vector<float> all(tiles.data.begin(), tiles.data.end());
    const size_t one = all.size() / (rows.tiles.size() * columns.tiles.size());
    for (size_t r = 0; r < rows.tiles.size(); ++r)
      for (size_t c = 0; c < columns.tiles.size(); ++c)
        canvas.add(r, c, std::span(all).subspan((r * columns.tiles.size() + c) * one, one));
    EvalTensor got{whole.shape, {canvas.pixels().begin(), canvas.pixels().end()}};
    check_within(1e-6, "whole", got, whole);
  }
}

TEST_CASE("MiniMax-H3 with sizes that cannot be is refused with what cannot") {
  MiniMaxH3Config turns = tiny();
  turns.rope_freq_dim = 3;
  CHECK(build_minimax_h3_dit(turns).status().message().find("18 of a head's 14") !=
        std::string::npos);
  MiniMaxH3VaeConfig vae = tiny_vae(false);
  vae.levels[2].time = 2;
  CHECK(build_minimax_h3_video_encoder(vae).status().message().find("only together") !=
        std::string::npos);
  MiniMaxH3SoundConfig sound;
  sound.strides = {2, 4, 4, 5};
  CHECK(build_minimax_h3_sound_decoder(sound).status().message().find("800 samples") !=
        std::string::npos);
  sound.strides.assign(16, 64);  // a product beyond 64 bits
  sound.decoder.ups.assign(16, {64, 64});
  CHECK(build_minimax_h3_sound_encoder(sound).status().message().find("samples a latent") !=
        std::string::npos);
  CHECK(build_minimax_h3_sound_decoder(sound).status().message().find("samples a latent") !=
        std::string::npos);
}
