// CLIP's text towers against transformers'. make_clip_text.py wrote the fixtures.
#include "converters/clip_text.h"

#include <filesystem>

#include "tests/parity/wan_fixture.h"
#include "tests/support/temporary_folder.h"

using namespace zoetrope;
namespace fs = std::filesystem;

namespace {

const std::string kData = std::string(ZOETROPE_SOURCE_DIR) + "/tests/parity/data/clip_text/";

EvalTensors evaluate(const ClipText& tower, const Graph& graph, const EvalTensor& ids,
                     const std::vector<std::string>& watch = {}) {
  const Graph bound =
      require_ok(zoetrope::bind(graph, {{"batch", ids.shape[0]}, {"text_length", ids.shape[1]}}));
  return require_ok(reference_evaluate(bound, {{"ids", ids}}, tower.part.weights,
                                       {.round_to_dtype = false, .watch = watch}));
}

}  // namespace

TEST_CASE("CLIP's text towers equal transformers', layer by layer") {
  for (const char* name : {"plain", "projected"}) {
    CAPTURE(name);
    const ClipText tower = require_ok(open_clip_text(kData + name));
    const ParityFixture io(std::string("clip_text/") + name + "_io");
    std::vector<std::string> watch;
    for (int64_t i = 0; i < tower.config.layers; ++i)
      watch.push_back(str("encoder.layers.", i, ".output"));
    for (const char* number : {"0", "1", "2"}) {
      CAPTURE(number);
      const std::string prefix = std::string(number) + ".";
      const EvalTensors got =
          evaluate(tower, tower.part.graphs.front(), io.tensor(prefix + "in.ids"), watch);
      // transformers' last hidden state is behind the norm.
      for (int64_t i = 0; i + 1 < tower.config.layers; ++i)
        check_within(kBlockTolerance, watch[static_cast<size_t>(i)],
                     got.at(watch[static_cast<size_t>(i)]), io.tensor(str(prefix, "layer.", i)));
      for (const char* out : {"text", "pooled"})
        check_within(kForwardTolerance, out, got.at(out), io.tensor(prefix + "out." + out));
    }
  }
}

TEST_CASE("the last layers can be left out of the text, not of what is pooled") {
  const ClipText tower = require_ok(open_clip_text(kData + "projected"));
  const ParityFixture io("clip_text/projected_io");
  ClipTextConfig config = tower.config;
  config.left_out = 1;
  const EvalTensors got =
      evaluate(tower, require_ok(build_clip_text(config)), io.tensor("0.in.ids"));
  check_within(kForwardTolerance, "text", got.at("text"), io.tensor("0.layer.0"));
  check_within(kForwardTolerance, "pooled", got.at("pooled"), io.tensor("0.out.pooled"));
}

TEST_CASE("what a text tower's configuration says is honoured or refused") {
  const auto refusal = [](const ClipTextConfig& config) {
    const auto made = build_clip_text(config);
    REQUIRE_FALSE(made.ok());
    return made.status().message();
  };
  ClipTextConfig c;
  c.heads = 7;
  CHECK(refusal(c).find("7 heads") != std::string::npos);
  c = {};
  c.eos = c.vocabulary;
  CHECK(refusal(c).find("49408") != std::string::npos);
  c = {};
  c.left_out = 12;
  CHECK(refusal(c).find("left out") != std::string::npos);
  c = {};
  c.positions = 300;
  CHECK(refusal(c).find("300 positions") != std::string::npos);

  const TemporaryFolder folder;
  fs::copy(kData + "plain/model.safetensors", folder.file("model.safetensors"));
  const std::string alone = open_clip_text(folder.file("model.safetensors")).status().message();
  CHECK(alone.find("heads") != std::string::npos);
  std::ofstream(folder.file("config.json")) << R"({"num_attention_heads": 3, "hidden_size": 25})";
  CHECK(open_clip_text(folder.file("model.safetensors")).status().message().find("hidden_size") !=
        std::string::npos);
  const std::string other =
      open_clip_text(std::string(ZOETROPE_SOURCE_DIR) + "/tests/parity/data/wan/clip")
          .status()
          .message();
  CHECK(other.find("text tower") != std::string::npos);
}

TEST_CASE("the published towers have as many parameters as published") {
  // 123.06 and 694.66 million.
  for (const auto& [config, millions] :
       {std::pair{clip_text_vit_l_14(), 123.06}, std::pair{clip_text_vit_big_g_14(), 694.66}}) {
    const Graph graph = require_ok(build_clip_text(config));
    double parameters = 0;
    for (const ValueId id : graph.weights()) {
      double n = 1;
      for (const Dim& dim : graph.value(id).dims) n *= static_cast<double>(dim.constant());
      parameters += n;
    }
    CHECK(parameters / 1e6 == doctest::Approx(millions).epsilon(1e-4));
  }
}
