// Adapters of LTX-2 in the layouts of keys that they have, against diffusers' own loader where it
// reads the layout, else against sums of weights (make_ltx2_lora.py).
#include <filesystem>

#include "converters/lora.h"
#include "tests/parity/converted.h"

using namespace zoetrope;
namespace fs = std::filesystem;

namespace {

const std::string kData = ZOETROPE_SOURCE_DIR "/tests/parity/data/ltx2_pipelines/";
constexpr double kForwardTolerance = 1e-4;

// states [tokens, width, states] by a projection whose columns are (state, channel).
EvalTensor project(const WeightSource& weights, const EvalTensor& states) {
  const WeightData weight = require_ok(weights.load("text_encoder/text_proj_in.weight"));
  const int64_t rows = weight.type.shape[0], columns = weight.type.shape[1];
  const int64_t tokens = states.shape[1], width = states.shape[2], count = states.shape[3];
  REQUIRE(columns == width * count);
  EvalTensor out{Shape{1, tokens, rows}, {}};
  for (int64_t t = 0; t < tokens; ++t)
    for (int64_t r = 0; r < rows; ++r) {
      double sum = 0;
      for (int64_t s = 0; s < count; ++s)
        for (int64_t c = 0; c < width; ++c)
          sum += load_element(weight.type.dtype, weight.data, r * columns + s * width + c) *
                 states.data[static_cast<size_t>((t * width + c) * count + s)];
      out.data.push_back(sum);
    }
  return out;
}

}  // namespace

TEST_CASE("adapted transformers and texts equal diffusers', whatever the adapter's keys") {
  const ParityFixture io("ltx2_pipelines/lora_io");
  TemporaryFolder folder;
  fs::copy(kData + "t2v", folder.file("in"), fs::copy_options::recursive);
  fs::copy(kData + "text_encoder", folder.file("in") + "/text_encoder");
  fs::create_directory(folder.file("in") + "/tokenizer");
  fs::copy(kData + "tokenizer.model", folder.file("in") + "/tokenizer/tokenizer.model");
  const Converted model({.input = folder.file("in"), .output = "", .distilled = true});
  EvalTensors inputs;
  for (const char* name : {"video", "sound", "text", "time"})
    inputs[name] = io.tensor(std::string("in.") + name);
  const Shape& video = inputs["video"].shape;
  inputs["known"] = {video, std::vector<double>(inputs["video"].data.size())};
  inputs["known_mask"] = {Shape{1, video[1], video[2], video[3], 1},
                          std::vector<double>(inputs["video"].data.size() / size_t(video[4]))};
  const Shape& sound = inputs["sound"].shape;
  inputs["sound_known"] = {sound, std::vector<double>(inputs["sound"].data.size())};
  inputs["sound_known_mask"] = {Shape{1, sound[1], 1}, std::vector<double>(size_t(sound[1]))};
  const Graph bound =
      require_ok(bind(model.component("dit"), {{"batch", 1},
                                               {"frames", video[1]},
                                               {"height", video[2]},
                                               {"width", video[3]},
                                               {"sound_frames", inputs["sound"].shape[1]},
                                               {"text_length", inputs["text"].shape[1]}}));
  const auto check = [&](const std::string& layout, const WeightSource& weights) {
    CAPTURE(layout);
    const EvalTensors got = require_ok(
        reference_evaluate(bound, inputs, weights, {.round_to_dtype = false, .watch = {}}));
    for (const char* output : {"video_velocity", "sound_velocity"})
      CHECK(relative_error(got.at(output), io.tensor(layout + "." + output)) <= kForwardTolerance);
    CHECK(relative_error(project(weights, io.tensor("in.states")),
                         io.tensor(layout + ".projected")) <= kForwardTolerance);
  };
  check("plain", *model.file);
  for (const std::string layout : {"diffusers", "original", "kohya"}) {
    const Lora lora = require_ok(read_lora(kData + "lora/" + layout + ".safetensors", "ltx-2",
                                           tensor_names(*model.file), *model.file));
    const auto adapted =
        require_ok(AdaptedWeights::create(*model.file, lora.updates, lora.revision));
    check(layout, *adapted);
  }
}
