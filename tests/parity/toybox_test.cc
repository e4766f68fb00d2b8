// Toybox's graphs against its PyTorch definition, block by block, from the fixtures that
// models/toybox/train/make_parity.py wrote.
#include <doctest/doctest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "converters/checkpoint.h"
#include "converters/weight_map.h"
#include "graph/evaluate.h"
#include "models/toybox/toybox.h"

using namespace zoetrope;

namespace {

constexpr double kTolerance = 1e-4;

// A fixture file: weights, configuration, and cases of inputs ("in"), intermediates ("mid") and
// outputs ("out").
class Fixture {
 public:
  explicit Fixture(const std::string& name) {
    auto opened = open_safetensors(std::string(ZOETROPE_SOURCE_DIR) + "/tests/parity/data/toybox_" +
                                   name + ".safetensors");
    REQUIRE_MESSAGE(opened.ok(), opened.status().message());
    file_ = std::move(*opened);
    auto parsed = parse_toybox_config(file_->metadata().at("config"));
    REQUIRE_MESSAGE(parsed.ok(), parsed.status().message());
    config = *parsed;
    cases = nlohmann::json::parse(file_->metadata().at("cases")).get<std::vector<std::string>>();
  }

  EvalTensor tensor(const std::string& name) const {
    auto data = file_->load(name);
    REQUIRE_MESSAGE(data.ok(), data.status().message());
    EvalTensor out{data->type.shape, {}};
    for (int64_t i = 0; i < out.shape.elements(); ++i)
      out.data.push_back(load_element(data->type.dtype, data->data, i));
    return out;
  }

  // Names with this prefix, without it.
  std::vector<std::string> names(const std::string& prefix) const {
    std::vector<std::string> found;
    for (const std::string& name : file_->names())
      if (name.starts_with(prefix)) found.push_back(name.substr(prefix.size()));
    return found;
  }

  const Checkpoint& file() const { return *file_; }

  ToyboxConfig config;
  std::vector<std::string> cases;

 private:
  std::unique_ptr<Checkpoint> file_;
};

// |a − b| / |b| in the Euclidean norm.
double relative_error(const EvalTensor& a, const EvalTensor& b) {
  double difference = 0, norm = 0;
  for (size_t i = 0; i < b.data.size(); ++i) {
    difference += (a.data[i] - b.data[i]) * (a.data[i] - b.data[i]);
    norm += b.data[i] * b.data[i];
  }
  return std::sqrt(difference / std::max(norm, 1e-30));
}

void check_close(const std::string& name, const EvalTensors& got, const EvalTensor& expected) {
  const auto it = got.find(name);
  REQUIRE_MESSAGE(it != got.end(), name, " was not computed");
  REQUIRE(it->second.data.size() == expected.data.size());
  const double error = relative_error(it->second, expected);
  CHECK_MESSAGE(error <= kTolerance, name, ": relative error ", error);
}

// PyTorch module name → the graph value that holds its output.
using ValueNames = std::function<std::string(const std::string& module)>;

EvalTensors run(const Fixture& fixture, const Graph& symbolic, const Bindings& bindings,
                const EvalTensors& inputs, const std::vector<std::string>& watch) {
  auto graph = bind(symbolic, bindings);
  REQUIRE_MESSAGE(graph.ok(), graph.status().message());
  auto weights = WeightMap::create(fixture.file(), {symbolic}, [](const std::string& n) { return n; });
  REQUIRE_MESSAGE(weights.ok(), weights.status().message());
  auto result = reference_evaluate(*graph, inputs, *weights, {.round_to_dtype = false, .watch = watch});
  REQUIRE_MESSAGE(result.ok(), result.status().message());
  return std::move(*result);
}

Graph built(Result<Graph> graph) {
  REQUIRE_MESSAGE(graph.ok(), graph.status().message());
  return std::move(*graph);
}

// Output of linear `module`: its biased value where it has a bias.
bool has_value(const Graph& graph, const std::string& name) { return graph.find_value(name) != kNone; }

std::string linear_value(const Graph& graph, const std::string& module) {
  for (const std::string& name : {module + ".biased", module})
    if (has_value(graph, name)) return name;
  return "";
}

}  // namespace

TEST_CASE("the text encoder equals PyTorch") {
  const Fixture fixture("text");
  const Graph graph = built(build_toybox_text_encoder(fixture.config.text));
  for (const std::string& c : fixture.cases) {
    CAPTURE(c);
    EvalTensors inputs{{"ids", fixture.tensor(c + ".in.ids")},
                       {"lengths", fixture.tensor(c + ".in.lengths")}};
    const Shape& ids = inputs["ids"].shape;
    EvalTensors got = run(fixture, graph, {{"batch", ids[0]}, {"text_length", ids[1]}}, inputs, {});
    // Positions at and beyond a caption's length are meaningless on both sides.
    EvalTensor expected = fixture.tensor(c + ".out.text");
    for (int64_t b = 0; b < ids[0]; ++b)
      for (int64_t i = static_cast<int64_t>(inputs["lengths"].data[static_cast<size_t>(b)]) * expected.shape[2];
           i < ids[1] * expected.shape[2]; ++i) {
        const auto at = static_cast<size_t>(b * ids[1] * expected.shape[2] + i);
        got["text"].data[at] = expected.data[at] = 0;
      }
    check_close("text", got, expected);
  }
}

TEST_CASE("the DiT equals PyTorch, block by block") {
  const Fixture fixture("dit");
  const Graph graph = built(build_toybox_dit(fixture.config.dit));
  for (const std::string& c : fixture.cases) {
    CAPTURE(c);
    EvalTensors inputs;
    for (const std::string& name : fixture.names(c + ".in."))
      inputs[name] = fixture.tensor(c + ".in." + name);
    const Shape& video = inputs["video"].shape;
    const Bindings bindings{{"batch", video[0]},  {"frames", video[1]},
                            {"height", video[2]}, {"width", video[3]},
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
    const EvalTensors got = run(fixture, graph, bindings, inputs, watch);
    for (const auto& [value, module] : watched)
      check_close(value, got, fixture.tensor(c + ".mid." + module));
    check_close("video_velocity", got, fixture.tensor(c + ".out.video"));
    check_close("audio_velocity", got, fixture.tensor(c + ".out.audio"));
  }
}

TEST_CASE("the TAE equals PyTorch at odd lengths and sizes") {
  const Fixture fixture("tae");
  const Graph encoder = built(build_toybox_tae_encoder(fixture.config.tae));
  const Graph decoder = built(build_toybox_tae_decoder(fixture.config.tae));
  for (const std::string& c : fixture.cases) {
    CAPTURE(c);
    const EvalTensor video = fixture.tensor(c + ".in.video");
    const Shape& v = video.shape;
    EvalTensors got = run(fixture, encoder,
                          {{"batch", v[0]}, {"frames", v[1]}, {"height", v[2]}, {"width", v[3]}},
                          {{"video", video}}, {});
    const EvalTensor latents = fixture.tensor(c + ".out.latents");
    check_close("latents", got, latents);
    const Shape& l = latents.shape;
    got = run(fixture, decoder,
              {{"batch", l[0]}, {"frames", l[1]}, {"height", l[2]}, {"width", l[3]}},
              {{"latents", latents}}, {});
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
  const Graph encoder = built(build_toybox_codec_encoder(fixture.config.codec));
  const Graph decoder = built(build_toybox_codec_decoder(fixture.config.codec));
  for (const std::string& c : fixture.cases) {
    CAPTURE(c);
    const EvalTensor audio = fixture.tensor(c + ".in.audio");
    const Bindings bindings{{"batch", audio.shape[0]}, {"audio_length", audio.shape[1] / 640}};
    const EvalTensor latents = fixture.tensor(c + ".out.latents");
    check_close("latents", run(fixture, encoder, bindings, {{"audio", audio}}, {}), latents);
    check_close("audio", run(fixture, decoder, bindings, {{"latents", latents}}, {}),
                fixture.tensor(c + ".out.audio"));
  }
}
