// Toybox's graphs against its PyTorch definition, block by block, from the fixtures that
// models/toybox/train/make_parity.py wrote.
#include <doctest/doctest.h>

#include "models/toybox/toybox.h"
#include "tests/parity/fixture.h"

using namespace zoetrope;

namespace {

struct Fixture : ParityFixture {
  explicit Fixture(const std::string& name)
      : ParityFixture("toybox_" + name),
        config(require_ok(parse_toybox_config(metadata("config")))),
        cases(nlohmann::json::parse(metadata("cases")).get<std::vector<std::string>>()) {}

  ToyboxConfig config;
  std::vector<std::string> cases;
};

// The graph value that holds a PyTorch module's output: behind its bias where it has one.
std::string linear_value(const Graph& graph, const std::string& module) {
  for (const std::string& name : {module + ".biased", module})
    if (graph.find_value(name) != kNone) return name;
  return "";
}

}  // namespace

TEST_CASE("the text encoder equals PyTorch") {
  const Fixture fixture("text");
  const Graph graph = require_ok(build_toybox_text_encoder(fixture.config.text));
  for (const std::string& c : fixture.cases) {
    CAPTURE(c);
    EvalTensors inputs{{"ids", fixture.tensor(c + ".in.ids")},
                       {"lengths", fixture.tensor(c + ".in.lengths")}};
    const Shape& ids = inputs["ids"].shape;
    EvalTensors got = fixture.evaluate(graph, {{"batch", ids[0]}, {"text_length", ids[1]}}, inputs);
    // Positions at and beyond a caption's length are meaningless on both sides.
    EvalTensor expected = fixture.tensor(c + ".out.text");
    for (int64_t b = 0; b < ids[0]; ++b)
      for (int64_t i = static_cast<int64_t>(inputs["lengths"].data[static_cast<size_t>(b)]) *
                       expected.shape[2];
           i < ids[1] * expected.shape[2]; ++i) {
        const auto at = static_cast<size_t>(b * ids[1] * expected.shape[2] + i);
        got["text"].data[at] = expected.data[at] = 0;
      }
    check_close("text", got, expected);
  }
}

TEST_CASE("the DiT equals PyTorch, block by block") {
  const Fixture fixture("dit");
  const Graph graph = require_ok(build_toybox_dit(fixture.config.dit));
  for (const std::string& c : fixture.cases) {
    CAPTURE(c);
    EvalTensors inputs;
    for (const std::string& name : fixture.names(c + ".in."))
      inputs[name] = fixture.tensor(c + ".in." + name);
    const Shape& video = inputs["video"].shape;
    const Bindings bindings{{"batch", video[0]},
                            {"frames", video[1]},
                            {"height", video[2]},
                            {"width", video[3]},
                            {"audio_length", inputs["audio"].shape[1]},
                            {"text_length", inputs["text"].shape[1]}};
    std::map<std::string, std::string> watched;  // graph value → fixture name
    for (const std::string& module : fixture.names(c + ".mid.")) {
      const std::string value = linear_value(graph, module);
      if (!value.empty()) watched[value] = module;
    }
    CHECK(watched.size() >= 3);
    std::vector<std::string> watch;
    for (const auto& [value, module] : watched) watch.push_back(value);
    const EvalTensors got = fixture.evaluate(graph, bindings, inputs, watch);
    for (const auto& [value, module] : watched)
      check_close(value, got, fixture.tensor(c + ".mid." + module));
    check_close("video_velocity", got, fixture.tensor(c + ".out.video"));
    check_close("audio_velocity", got, fixture.tensor(c + ".out.audio"));
  }
}

TEST_CASE("the TAE equals PyTorch at odd lengths and sizes") {
  const Fixture fixture("tae");
  const Graph encoder = require_ok(build_toybox_tae_encoder(fixture.config.tae));
  const Graph decoder = require_ok(build_toybox_tae_decoder(fixture.config.tae));
  for (const std::string& c : fixture.cases) {
    CAPTURE(c);
    const EvalTensor video = fixture.tensor(c + ".in.video");
    const Shape& v = video.shape;
    EvalTensors got = fixture.evaluate(
        encoder, {{"batch", v[0]}, {"frames", v[1]}, {"height", v[2]}, {"width", v[3]}},
        {{"video", video}});
    const EvalTensor latents = fixture.tensor(c + ".out.latents");
    check_close("latents", got, latents);
    const Shape& l = latents.shape;
    got = fixture.evaluate(decoder,
                           {{"batch", l[0]}, {"frames", l[1]}, {"height", l[2]}, {"width", l[3]}},
                           {{"latents", latents}});
    // The decoder gives eight frames a latent; PyTorch's fixture has dropped the trailing ones.
    const EvalTensor expected = fixture.tensor(c + ".out.video");
    EvalTensor cropped{expected.shape, {}};
    const Shape& d = got["video"].shape;
    const int64_t frame = d[2] * d[3] * d[4];
    for (int64_t b = 0; b < d[0]; ++b)
      for (int64_t i = 0; i < expected.shape[1] * frame; ++i)
        cropped.data.push_back(got["video"].data[static_cast<size_t>(b * d[1] * frame + i)]);
    check_close("video", {{"video", cropped}}, expected);
  }
}

TEST_CASE("the codec equals PyTorch") {
  const Fixture fixture("codec");
  const Graph encoder = require_ok(build_toybox_codec_encoder(fixture.config.codec));
  const Graph decoder = require_ok(build_toybox_codec_decoder(fixture.config.codec));
  for (const std::string& c : fixture.cases) {
    CAPTURE(c);
    const EvalTensor audio = fixture.tensor(c + ".in.audio");
    const Bindings bindings{{"batch", audio.shape[0]}, {"audio_length", audio.shape[1] / 640}};
    const EvalTensor latents = fixture.tensor(c + ".out.latents");
    check_close("latents", fixture.evaluate(encoder, bindings, {{"audio", audio}}), latents);
    check_close("audio", fixture.evaluate(decoder, bindings, {{"latents", latents}}),
                fixture.tensor(c + ".out.audio"));
  }
}
