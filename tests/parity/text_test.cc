// Text encoders and CLIP's picture tower against transformers'. make_wan.py wrote the fixtures.
#include <doctest/doctest.h>

#include "converters/text_encoder.h"
#include "converters/vision_encoder.h"
#include "tests/parity/wan_fixture.h"

using namespace zoetrope;

namespace {

// Zero at and beyond each row's length: what comes out there means nothing.
EvalTensor cut(EvalTensor x, const EvalTensor& lengths) {
  const int64_t n = x.shape[1], width = x.shape[2];
  for (int64_t b = 0; b < x.shape[0]; ++b)
    for (auto i = static_cast<int64_t>(lengths.data[static_cast<size_t>(b)]) * width; i < n * width;
         ++i)
      x.data[static_cast<size_t>(b * n * width + i)] = 0;
  return x;
}

}  // namespace

TEST_CASE("text encoders of the T5 family equal transformers', block by block") {
  for (const char* name : {"umt5", "t5_v1_1", "t5"}) {
    CAPTURE(name);
    const SavedNetwork saved(name);
    const TextEncoder opened = require_ok(open_text_encoder(saved.folder));
    const Graph& graph = opened.part.graphs.front();
    for (const char* number : {"0", "1", "2"}) {
      CAPTURE(number);
      const EvalTensors inputs = saved.inputs(number);
      const Shape& ids = inputs.at("ids").shape;
      const std::string prefix = std::string(number) + ".block.0.";
      const std::vector<std::string> blocks = saved.io.names(prefix);
      CHECK(blocks.size() == static_cast<size_t>(opened.config.layers));
      std::vector<std::string> watch;
      for (const std::string& block : blocks) watch.push_back(block + ".output");
      const Graph bound =
          require_ok(zoetrope::bind(graph, {{"batch", ids[0]}, {"text_length", ids[1]}}));
      const EvalTensors got = require_ok(reference_evaluate(
          bound, inputs, opened.part.weights, {.round_to_dtype = false, .watch = watch}));
      const EvalTensor& lengths = inputs.at("lengths");
      for (const std::string& block : blocks)
        check_within(kBlockTolerance, block, cut(got.at(block + ".output"), lengths),
                     cut(saved.io.tensor(prefix + block), lengths));
      check_within(kForwardTolerance, "text", cut(got.at("text"), lengths),
                   cut(saved.io.tensor(std::string(number) + ".out.text"), lengths));
    }
  }
}

TEST_CASE("positions fall into transformers' buckets") {
  const ParityFixture fixture("wan/buckets");
  const std::pair<int64_t, int64_t> tables[] = {{32, 128}, {12, 20}, {64, 128}, {8, 4096}};
  for (const auto& [buckets, most] : tables) {
    CAPTURE(buckets);
    const EvalTensor expected = fixture.tensor(str(buckets, ".", most));
    for (int64_t i = 0; i < expected.shape[0]; ++i)
      CHECK(t5_bucket(i - 600, buckets, most) ==
            static_cast<int64_t>(expected.data[static_cast<size_t>(i)]));
  }
}

TEST_CASE("a text encoder keeps no position bias for longer than a clip") {
  const Graph graph = require_ok(build_t5_encoder(umt5_xxl()));
  const ValueId bias = graph.find_value("encoder.block.23.layer.0.SelfAttention.bias");
  REQUIRE(bias != kNone);
  CHECK(graph.value(bias).rate == Rate::kClip);
}

TEST_CASE("CLIP's picture tower equals transformers', layer by layer") {
  for (const char* name : {"clip", "clip_quick"}) {
    CAPTURE(name);
    const SavedNetwork saved(name);
    const VisionEncoder opened = require_ok(open_vision_encoder(saved.folder));
    const ClipVisionConfig& c = opened.config;
    std::vector<std::string> watch;
    for (int64_t i = 0; i + 1 < c.layers; ++i)
      watch.push_back(str("encoder.layers.", i, ".output"));
    const Graph bound = require_ok(zoetrope::bind(opened.part.graphs.front(), {{"batch", 2}}));
    const EvalTensors got = require_ok(reference_evaluate(
        bound, saved.inputs("0"), opened.part.weights, {.round_to_dtype = false, .watch = watch}));
    for (int64_t i = 0; i + 1 < c.layers; ++i) {
      const std::string layer = str("encoder.layers.", i);
      check_within(kBlockTolerance, layer, got.at(layer + ".output"),
                   saved.io.tensor("0.block.0." + layer));
    }
    check_within(kForwardTolerance, "features", got.at("features"),
                 saved.io.tensor("0.out.features"));
  }
}

TEST_CASE("encoders that cannot be are refused") {
  T5Config t5;
  t5.buckets = 31;
  CHECK(build_t5_encoder(t5).status().message().find("31 buckets") != std::string::npos);
  ClipVisionConfig clip;
  clip.heads = 7;
  CHECK(build_clip_vision(clip).status().message().find("7 heads") != std::string::npos);
  clip = {};
  clip.left_out = 32;
  CHECK(build_clip_vision(clip).status().message().find("left out") != std::string::npos);
}
