// What built-in models compute with generated weights, which nobody looks at but must be numbers.
#include <cmath>
#include <functional>
#include <map>

#include "graph/format/model_file.h"
#include "models/ltx2/sound.h"
#include "models/registry.h"
#include "tests/parity/fixture.h"

using namespace zoetrope;

namespace {

// What `synthetic:` models have in place of published weights.
class Generated : public WeightSource {
 public:
  explicit Generated(const Graph& graph) {
    for (const ValueId id : graph.weights()) values_[graph.value(id).name] = graph.value(id);
  }
  Result<TensorType> type(std::string_view name) const override {
    return values_.find(name)->second.type;
  }
  Result<WeightData> load(std::string_view name) const override {
    const Value& value = values_.find(name)->second;
    const WeightInit init = initial_weight(value);
    SyntheticTensor spec;
    spec.distribution =
        init.kind == WeightInit::Kind::kConstant ? Distribution::kConstant : Distribution::kNormal;
    spec.a = init.kind == WeightInit::Kind::kConstant ? init.value : 0;
    spec.b = init.value;
    spec.seed = std::hash<std::string_view>()(name);
    auto bytes = std::make_shared<std::vector<uint8_t>>(size_t(value.type.bytes()));
    generate_synthetic(spec, value.type, bytes->data(), 1);
    return WeightData{value.type, bytes->data(), bytes};
  }

 private:
  std::map<std::string, Value, std::less<>> values_;
};

}  // namespace

TEST_CASE("generated weights of 2.3's vocoders stay within bounds through all their layers") {
  Ltx2SoundConfig config = ltx2_3_sound();
  config.base = 8;
  config.vocoder.width = 128;
  config.bandwidth->generator.width = 64;
  const Graph symbolic = require_ok(build_ltx2_sound_decoder(config));
  const Graph graph = require_ok(bind(symbolic, {{"batch", 1}, {"frames", 2}}));
  EvalTensor latents{Shape{1, 2, config.latent_channels * config.latent_bins}, {}};
  for (size_t i = 0; i < 2 * 128; ++i) latents.data.push_back(std::sin(0.7 * double(i)));
  const EvalTensors got = require_ok(reference_evaluate(
      graph, {{"latents", latents}}, Generated(graph), {.round_to_dtype = false, .watch = {}}));
  double most = 0;
  for (const double x : got.at("sound").data) {
    REQUIRE(std::isfinite(x));
    most = std::max(most, std::abs(x));
  }
  CHECK(most > 0);
  CHECK(most < 1e6);
}
