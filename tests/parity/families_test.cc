// DiT and Wan against diffusers, Movie Gen against an implementation from the paper, from the
// fixtures that make_fixtures.py wrote.
#include <doctest/doctest.h>

#include "models/dit/dit.h"
#include "models/moviegen/moviegen.h"
#include "models/wan/wan.h"
#include "tests/parity/fixture.h"

using namespace zoetrope;

namespace {

struct Fixture : ParityFixture {
  explicit Fixture(const std::string& name)
      : ParityFixture(name), config(nlohmann::json::parse(metadata("config"))) {
    for (const std::string& input : names("in.")) inputs[input] = tensor("in." + input);
  }
  int64_t number(const char* key) const { return config.at(key).get<int64_t>(); }

  nlohmann::json config;
  EvalTensors inputs;
};

Bindings video_bindings(const Fixture& fixture) {
  const Shape& v = fixture.inputs.at("video").shape;
  return {{"batch", v[0]}, {"frames", v[1]}, {"height", v[2]}, {"width", v[3]}};
}

MovieGenConfig moviegen(const Fixture& fixture, MovieGenConfig::Positions positions) {
  MovieGenConfig c;
  c.layers = fixture.number("layers");
  c.width = fixture.number("width");
  c.heads = fixture.number("heads");
  c.ffn = fixture.number("ffn");
  c.positions = positions;
  const auto limits = fixture.config.at("max").get<std::vector<int64_t>>();
  c.max_frames = limits[0], c.max_rows = limits[1], c.max_columns = limits[2];
  c.text.clear();
  for (const auto& encoder : fixture.config.at("text"))
    c.text.push_back({encoder[0].get<std::string>(), encoder[1].get<int64_t>()});
  return c;
}

}  // namespace

TEST_CASE("DiT equals diffusers'") {
  const Fixture fixture("dit");
  DitConfig c;
  c.layers = fixture.number("layers");
  c.width = fixture.number("width");
  c.heads = fixture.number("heads");
  c.hidden = 4 * c.width;
  c.classes = fixture.number("classes");
  c.base_grid = 4;
  c.mlp_norm_epsilon = 1e-5;
  const Bindings bindings{{"batch", 2}, {"height", 8}, {"width", 8}};
  const EvalTensor expected = fixture.tensor("out.output");
  c.diffusers_time = true;
  check_close("output", fixture.evaluate(require_ok(build_dit(c)), bindings, fixture.inputs),
              expected);
  // The original's constants give something else: the mode is not a flag that does nothing.
  c.diffusers_time = false;
  const EvalTensors other = fixture.evaluate(require_ok(build_dit(c)), bindings, fixture.inputs);
  CHECK(relative_error(other.at("output"), expected) > kParityTolerance);
}

TEST_CASE("Wan equals diffusers'") {
  const Fixture fixture("wan");
  WanConfig c;
  c.layers = fixture.number("layers");
  c.width = fixture.number("width");
  c.heads = fixture.number("heads");
  c.ffn = fixture.number("ffn");
  c.text_width = fixture.number("text_width");
  Bindings bindings = video_bindings(fixture);
  bindings["text_length"] = fixture.inputs.at("text").shape[1];
  check_close("video_velocity",
              fixture.evaluate(require_ok(build_wan_dit(c)), bindings, fixture.inputs),
              fixture.tensor("out.video_velocity"));
}

TEST_CASE("Movie Gen equals the paper's network, with learned and with rotary positions") {
  using Positions = MovieGenConfig::Positions;
  for (const auto& [name, positions] : {std::pair{"moviegen_tables", Positions::kTables},
                                        std::pair{"moviegen_rope", Positions::kRope}}) {
    CAPTURE(name);
    const Fixture fixture(name);
    const MovieGenConfig c = moviegen(fixture, positions);
    Bindings bindings = video_bindings(fixture);
    for (const auto& encoder : c.text)
      bindings[encoder.name + "_length"] = fixture.inputs.at("text_" + encoder.name).shape[1];
    check_close("video_velocity",
                fixture.evaluate(require_ok(build_moviegen_dit(c)), bindings, fixture.inputs),
                fixture.tensor("out.video_velocity"));
  }
}
