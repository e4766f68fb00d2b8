// Adapters of Wan in every layout of keys, against diffusers' own loader where it reads the layout,
// else against sums of weights (make_wan_lora.py).
#include "converters/lora.h"
#include "tests/parity/converted.h"
#include "tests/parity/wan_fixture.h"

using namespace zoetrope;

namespace {

const std::string kLora = std::string(ZOETROPE_SOURCE_DIR) + "/tests/parity/data/wan/lora/";

}  // namespace

TEST_CASE("adapted transformers equal diffusers', whatever the adapter's keys are called") {
  const ParityFixture outputs("wan/lora_io");
  for (const char* name : {"t2v", "i2v"}) {
    const SavedNetwork saved(name);
    const Converted model({.input = saved.folder, .output = ""});
    const EvalTensors inputs = saved.inputs("0");
    const Graph bound = require_ok(zoetrope::bind(model.component("dit"), bindings_of(inputs)));
    const EvalTensor plain = saved.io.tensor("0.out.video_velocity");
    for (const std::string layout : {"comfy_t2v", "comfy_i2v", "kohya", "kohya_two_underscores",
                                     "diffusers", "lightx2v", "fastvideo", "norms", "peft_bias"}) {
      if ((layout == "comfy_i2v") != (name == std::string("i2v"))) continue;
      CAPTURE(layout);
      const Lora lora = require_ok(read_lora(kLora + layout + ".safetensors", "wan",
                                             tensor_names(*model.file), *model.file));
      const auto adapted =
          require_ok(AdaptedWeights::create(*model.file, lora.updates, lora.revision));
      const EvalTensors got = require_ok(
          reference_evaluate(bound, inputs, *adapted, {.round_to_dtype = false, .watch = {}}));
      const EvalTensor expected = outputs.tensor(layout + ".out.video_velocity");
      check_within(kForwardTolerance, layout, got.at("video_velocity"), expected);
      CHECK(relative_error(plain, expected) > 0.05);
    }
  }
}
