// Quantised networks against PyTorch code that brings the linear layers of diffusers' networks to 8
// and 4 bits and back. make_quantized.py wrote the fixture.
#include "graph/passes/quantize.h"

#include "tests/parity/converted.h"
#include "tests/parity/wan_fixture.h"

using namespace zoetrope;

namespace {

constexpr int64_t kGroup = 32;

// Outputs of `graph`, converted, with every product's weight in `format`.
EvalTensor quantized_output(const Converted& model, const Graph& graph, WeightFormat format,
                            const EvalTensors& inputs, const Bindings& bindings,
                            const std::string& output) {
  const QuantizedGraph made =
      require_ok(quantize(graph, [&](const QuantizeSite& site) -> WeightChoice {
        if (!site.product) return {};
        return {format, format == WeightFormat::kInt4 ? kGroup : 0};
      }));
  CHECK(!made.weights.empty());
  const auto source = require_ok(QuantizedWeights::create(*model.file, made.weights));
  const Graph bound = require_ok(zoetrope::bind(made.graph, bindings));
  // What is between is in double on both sides; only fp8 needs the stores that round.
  return require_ok(
             reference_evaluate(bound, inputs, *source,
                                {.round_to_dtype = format == WeightFormat::kFp8, .watch = {}}))
      .at(output);
}

// The format's own error is so many times the tolerance: a test that is met by the network in f32
// would show nothing.
constexpr double kTolerance = 1e-3, kLeastEffect = 5 * kTolerance;

void check_format(const std::string& name, const EvalTensor& got, const EvalTensor& exact,
                  const ParityFixture& fixture) {
  CAPTURE(name);
  const EvalTensor expected = fixture.tensor(name);
  check_within(kTolerance, name, got, expected);
  CHECK(relative_error(exact, expected) > kLeastEffect);
}

}  // namespace

TEST_CASE("quantised Wan and DiT equal PyTorch code that dequantises") {
  const ParityFixture fixture("quantized");
  const SavedNetwork saved("t2v");
  const Converted wan({.input = saved.folder, .output = ""});
  const EvalTensors wan_inputs = saved.inputs("0");
  const Converted dit({.input = published_dit("plain"), .output = ""});
  const ParityFixture dit_io("dit/plain_io");
  EvalTensors dit_inputs;
  for (const char* name : {"latents", "time", "labels"})
    dit_inputs[name] = dit_io.tensor("0.in." + std::string(name));
  for (const WeightFormat format : {WeightFormat::kInt8, WeightFormat::kFp8, WeightFormat::kInt4}) {
    const std::string end = "." + std::string(format_name(format));
    check_format("wan" + end,
                 quantized_output(wan, wan.component("dit"), format, wan_inputs,
                                  bindings_of(wan_inputs), "video_velocity"),
                 saved.io.tensor("0.out.video_velocity"), fixture);
    check_format("dit" + end,
                 quantized_output(dit, dit.component("dit"), format, dit_inputs,
                                  dit.bindings("dit", dit_inputs), "output"),
                 dit_io.tensor("0.out.output"), fixture);
  }
}
