// Adapters in the layouts of PEFT, kohya and the original repositories, against what PEFT makes of
// the same weights by fusing them (make_lora_fixtures.py).
#include "converters/lora.h"

#include <cmath>

#include "graph/elements.h"
#include "tests/format/published.h"

using namespace zoetrope;

namespace {

const std::string kData = std::string(ZOETROPE_SOURCE_DIR) + "/tests/format/data/";

std::vector<std::string> names_of(const ModelFile& model) {
  std::vector<std::string> names;
  for (const TensorEntry& tensor : model.tensors()) names.push_back(tensor.name);
  return names;
}

std::vector<double> values_of(const WeightSource& weights, const std::string& name) {
  const auto data = weights.load(name);
  REQUIRE_MESSAGE(data.ok(), data.status().message());
  std::vector<double> values(static_cast<size_t>(data->type.shape.elements()));
  load_elements(data->type.dtype, data->data, data->type.shape.elements(), values.data());
  return values;
}

// The model of `source` with the tensors of `fused` in place of its own.
std::unique_ptr<ModelFile> fused_model(const Published& folder, const std::string& fused) {
  const auto file = open_checkpoint(fused);
  REQUIRE_MESSAGE(file.ok(), file.status().message());
  folder.edit_weights("", [&](StoredTensors& tensors) {
    for (const std::string& key : (*file)->names()) {
      REQUIRE_MESSAGE(tensors.contains(key), key);
      const auto data = (*file)->load(key);
      REQUIRE(data.ok());
      const auto* bytes = static_cast<const uint8_t*>(data->data);
      REQUIRE(tensors[key].bytes.size() == static_cast<size_t>(data->type.bytes()));
      tensors[key].bytes.assign(bytes, bytes + data->type.bytes());
    }
  });
  return folder.converted();
}

// Largest difference of any tensor of the adapted model from the fused one.
double worst_difference(const std::string& source, const std::string& lora,
                        const std::string& fused) {
  const Published plain(source), other(source);
  const auto model = plain.converted();
  const auto expected = fused_model(other, kData + "lora/" + fused);
  const auto names = names_of(*model);
  auto read = read_lora(kData + "lora/" + lora, model->info().family, names, *model);
  REQUIRE_MESSAGE(read.ok(), read.status().message());
  auto adapted = AdaptedWeights::create(*model, read->updates, read->revision);
  REQUIRE_MESSAGE(adapted.ok(), adapted.status().message());
  double worst = 0;
  int changed = 0;
  for (const std::string& name : names) {
    const auto found = values_of(**adapted, name), wanted = values_of(*expected, name);
    REQUIRE(found.size() == wanted.size());
    changed += found != values_of(*model, name);
    CHECK((found != values_of(*model, name)) == !(*adapted)->revision(name).empty());
    for (size_t i = 0; i < found.size(); ++i)
      worst = std::max(worst, std::fabs(found[i] - wanted[i]));
  }
  CHECK(changed > 0);
  return worst;
}

}  // namespace

TEST_CASE("an adapter gives the weights that PEFT fuses, in every layout of keys") {
  // f32 sums of three products of order one, in another order.
  CHECK(worst_difference("format/data/wan_diffusers", "wan_peft.safetensors",
                         "wan_fused.safetensors") < 4e-6);
  CHECK(worst_difference("format/data/wan_diffusers", "wan_original.safetensors",
                         "wan_fused.safetensors") < 4e-6);
  // Stored as bf16: each factor is off by up to 2^-9, and there are three products of order 0.1.
  CHECK(worst_difference("format/data/wan_diffusers", "wan_kohya.safetensors",
                         "wan_fused.safetensors") < 0.02);
}

TEST_CASE(
    "q and v of a joined weight are adapted in their rows; alpha may be divided by the root") {
  CHECK(worst_difference("format/data/dit_diffusers", "dit_peft/adapter_model.safetensors",
                         "dit_fused.safetensors") < 4e-6);
}

TEST_CASE("factors by names of modules are read, and what is ambiguous or names none is refused") {
  const Published source("format/data/dit_diffusers");
  const auto model = source.converted();
  const auto names = names_of(*model);
  const auto read = [&](const std::function<void(nlohmann::json&)>& change) {
    const Published folder("format/data/lora/dit_peft");
    folder.edit("adapter_config.json", change);
    return read_lora(folder.path("adapter_model.safetensors"), "dit", names, *model);
  };
  const auto refusal = [&](const nlohmann::json& changes) {
    const auto lora = read([&](nlohmann::json& c) { c.update(changes); });
    REQUIRE_FALSE(lora.ok());
    mentions(lora.status().message(), "adapter_config.json");
    return lora.status().message();
  };
  const auto plain = read([](nlohmann::json&) {});
  const auto doubled = read([](nlohmann::json& c) {
    c["alpha_pattern"] = {{"to_q", 14}, {"to_v", 14}, {"ff.net.2", 14}};
  });
  REQUIRE(plain.ok());
  REQUIRE_MESSAGE(doubled.ok(), doubled.status().message());
  REQUIRE(plain->updates.size() == doubled->updates.size());
  for (size_t i = 0; i < plain->updates.size(); ++i)
    CHECK(doubled->updates[i].scale == 2 * plain->updates[i].scale);
  for (const char* key : {"use_rslora", "use_dora"}) {
    for (const nlohmann::json& value : {nlohmann::json(1), nlohmann::json("true")})
      mentions(refusal({{key, value}}), str("'", key, "' is ", value.dump()));
    CHECK(read([&](nlohmann::json& c) { c[key] = nullptr; }).ok());
  }
  mentions(refusal({{"alpha_pattern", {{".*to_q", 14}}}}), "'.*to_q' names no module");
  mentions(refusal({{"alpha_pattern", {{"to_q", 14}, {"attn1.to_q", 7}}}}), "both");
  mentions(refusal({{"text_encoder.lora_alpha", 9}}), "another lora_alpha");
  mentions(refusal({{"lora_alpha", "16"}}), "'lora_alpha' is \"16\"");
  mentions(refusal({{"alpha_pattern", {{"to_q", "16"}}}}), "'alpha_pattern/to_q' is \"16\"");
  mentions(refusal({{"alpha_pattern", {"to_q"}}}), "expected an object");
}

TEST_CASE("what fits no weight, or is no LoRA, is refused by name") {
  const Published source("format/data/wan_diffusers");
  const auto model = source.converted();
  const auto names = names_of(*model);
  const auto refusal = [&](const std::function<void(StoredTensors&)>& change,
                           const std::string& family = "wan") {
    const Published file("format/data/lora/wan_original.safetensors");
    file.edit_weights("", change);
    const auto read = read_lora(file.path("wan_original.safetensors"), family, names, *model);
    REQUIRE_FALSE(read.ok());
    mentions(read.status().message(), "wan_original.safetensors");
    return read.status().message();
  };
  const std::string module = "diffusion_model.blocks.0.self_attn.q.";
  const auto renamed = [&](const std::string& from, const std::string& to) {
    return refusal([&](StoredTensors& t) {
      t[to] = t.at(from);
      t.erase(from);
    });
  };
  mentions(renamed(module + "lora_up.weight", module + "lora_sideways.weight"), "lora_sideways");
  mentions(renamed(module + "lora_up.weight", module + "dora_scale"), "DoRA");
  mentions(renamed(module + "lora_up.weight", module + "set_weight"), "replaces");
  mentions(renamed(module + "lora_up.weight", module + "lora_B.bias"), "lora_up");
  // 48x3, which is no difference of 48x48; a bias that holds no number; patches of more channels.
  mentions(refusal([&](StoredTensors& t) {
             StoredTensor& up = t.at(module + "lora_up.weight");
             t["diffusion_model.blocks.0.self_attn.k.diff"] = up;
           }),
           "self_attn.k.diff");
  mentions(refusal([&](StoredTensors& t) {
             StoredTensor bias = t.at(module + "lora_up.weight");
             bias.dims = {48};
             bias.bytes.resize(48 * 4);
             bias.set(7, NAN);
             t[module + "diff_b"] = bias;
           }),
           "NaN");
  mentions(refusal([&](StoredTensors& t) { t.erase(module + "lora_up.weight"); }), "lora_up");
  mentions(refusal([&](StoredTensors& t) {
             for (const char* part : {"lora_up.weight", "lora_down.weight", "alpha"}) {
               t["diffusion_model.blocks.7.self_attn.q." + std::string(part)] = t.at(module + part);
               t.erase(module + part);
             }
           }),
           "blocks.7.self_attn.q");
  mentions(refusal([&](StoredTensors& t) {  // rank 3 below, 1 above
             StoredTensor& up = t.at(module + "lora_up.weight");
             up.dims = {up.dims[0], 1};
             up.bytes.resize(static_cast<size_t>(up.dims[0]) * 4);
           }),
           "ranks");
  mentions(refusal([&](StoredTensors& t) {  // half as wide as the weight
             StoredTensor& down = t.at(module + "lora_down.weight");
             down.dims[1] /= 2;
             down.bytes.resize(down.bytes.size() / 2);
           }),
           "do not fit");
  mentions(refusal([&](StoredTensors& t) { t.at(module + "lora_up.weight").set(5, NAN); }), "NaN");
  mentions(refusal([&](StoredTensors& t) { t.at(module + "alpha").become(DType::kI8); }), "alpha");
  mentions(refusal([](StoredTensors& t) { t.clear(); }), "no tensors");
  mentions(refusal([](StoredTensors&) {}, "moviegen"), "moviegen");
}

namespace {

// Two components with the same weights, each under a scope of its own.
class Scoped : public WeightSource {
 public:
  Scoped(const WeightSource& base, std::string own) : base_(base), own_(std::move(own)) {}
  Result<TensorType> type(std::string_view name) const override {
    return base_.type(own_name(name));
  }
  Result<WeightData> load(std::string_view name) const override {
    return base_.load(own_name(name));
  }

 private:
  std::string own_name(std::string_view name) const {
    return own_ + std::string(name.substr(name.find('/') + 1));
  }
  const WeightSource& base_;
  const std::string own_;  // scope of the weights below
};

}  // namespace

TEST_CASE("an adapter of one of two networks changes that one alone, and must say which") {
  const Published folder("format/data/wan_diffusers");
  const std::string file = kData + "lora/wan_peft.safetensors";
  const auto model = folder.converted();
  const std::string first = names_of(*model).front();
  const Scoped scoped(*model, first.substr(0, first.find('/') + 1));
  std::vector<std::string> low, both;
  for (const std::string& name : names_of(*model)) {
    const std::string rest = name.substr(name.find('/') + 1);
    low.push_back("low/" + rest);
    both.insert(both.end(), {"high/" + rest, "low/" + rest});
  }
  const auto read = read_lora(file, model->info().family, low, scoped);
  REQUIRE_MESSAGE(read.ok(), read.status().message());
  CHECK_FALSE(read->updates.empty());
  for (const LowRankUpdate& update : read->updates) CHECK(update.tensor.starts_with("low/"));
  const auto unclear = read_lora(file, model->info().family, both, scoped);
  REQUIRE_FALSE(unclear.ok());
  CHECK(unclear.status().message().find("several weights") != std::string::npos);
}

TEST_CASE("an adapter in place of a model is told apart from a model that is not known") {
  const TemporaryFolder folder;
  for (const char* name :
       {"dit_peft", "wan_kohya.safetensors", "wan_original.safetensors", "wan_peft.safetensors"}) {
    CAPTURE(name);
    const Status status =
        convert({.input = kData + "lora/" + name, .output = folder.file("model.zoe")});
    CHECK(status.code() == Code::kInvalidArgument);
    CHECK(status.message().find("--lora") != std::string::npos);
  }
  const Published model("parity/data/dit/original/dit.pt");
  model.edit_weights("dit.pt", [](StoredTensors& tensors) {
    StoredTensors renamed;
    for (auto& [key, tensor] : tensors)
      renamed["model.diffusion_model.part" + std::to_string(renamed.size()) + ".weight"] =
          std::move(tensor);
    tensors = std::move(renamed);
  });
  const std::string refusal = model.refusal();
  CHECK(refusal.find("cannot tell the model's family") != std::string::npos);
  CHECK(refusal.find("LoRA") == std::string::npos);
}
