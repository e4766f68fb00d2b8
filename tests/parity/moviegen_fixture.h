// Movie Gen's pipelines of tiny networks, as make_moviegen_pipeline.py and make_moviegen_tasks.py
// store them.
#pragma once

#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <vector>

#include "models/moviegen/recipe.h"
#include "runtime/engine/engine.h"
#include "tests/devices.h"
#include "tests/parity/fixture.h"
#include "tests/support/psnr.h"

namespace zoetrope::moviegen_fixture {

struct Stored : ParityFixture {
  explicit Stored(const std::string& name)
      : ParityFixture("moviegen/" + name), config(nlohmann::json::parse(metadata("config"))) {}
  int64_t number(const char* key) const { return config.at(key).get<int64_t>(); }
  std::vector<int64_t> numbers(const char* key) const {
    return config.at(key).get<std::vector<int64_t>>();
  }
  std::vector<uint8_t> bytes(const std::string& name) const {
    std::vector<uint8_t> all;
    for (const double x : tensor(name).data) all.push_back(static_cast<uint8_t>(x));
    return all;
  }
  nlohmann::json config;
};

class Frames : public ClipSink {
 public:
  explicit Frames(int64_t bytes) : bytes_(bytes) {}
  Status frames(const uint8_t* p, int64_t count) override {
    pixels.insert(pixels.end(), p, p + count * bytes_);
    return Status();
  }
  Status audio(const float*, int64_t) override { return Status(); }
  std::vector<uint8_t> pixels;

 private:
  const int64_t bytes_;
};

// Weights that lie in the fixture under the names that a model gives them.
class Held : public WeightSource {
 public:
  Held(const Stored& io, const std::vector<Graph>& graphs)
      : map_(require_ok(
            WeightMap::create(io.file(), graphs, [](const std::string& name) { return name; }))) {}
  Result<TensorType> type(std::string_view name) const override { return map_.type(name); }
  Result<WeightData> load(std::string_view name) const override { return map_.load(name); }

 private:
  const WeightMap map_;
};

// Sizes of the networks and of what all recipes have.
inline MovieGenPipeline pipeline_of(const Stored& io) {
  const nlohmann::json &c = io.config, &dit = c.at("dit"), &t5 = c.at("t5"), &tae = c.at("tae");
  MovieGenPipeline p;
  p.dit.layers = dit.at("layers"), p.dit.width = dit.at("width");
  p.dit.heads = dit.at("heads"), p.dit.ffn = dit.at("ffn");
  p.dit.max_frames = dit.at("max")[0];
  p.dit.max_rows = dit.at("max")[1], p.dit.max_columns = dit.at("max")[2];
  p.dit.text.clear();
  for (const auto& encoder : dit.at("text"))
    p.dit.text.push_back({encoder[0].get<std::string>(), encoder[1].get<int64_t>()});
  p.tae = {.latent_channels = tae.at("latents"),
           .levels = tae.at("levels"),
           .layers = tae.at("layers"),
           .groups = tae.at("groups")};
  p.ul2 = {.vocabulary = t5.at("vocab_size"),
           .width = p.dit.text[0].width,
           .layers = t5.at("num_layers"),
           .heads = t5.at("num_heads"),
           .head_dim = t5.at("d_kv"),
           .ffn = t5.at("d_ff"),
           .ffn_kind = T5Config::Ffn::kGatedSilu,
           .bias_a_layer = false};
  p.byt5 = p.ul2;
  p.byt5.width = p.dit.text[1].width;
  p.byt5.ffn_kind = T5Config::Ffn::kGatedGelu;
  p.text_ids = c.at("ids");
  p.metaclip = {.vocabulary = 300,
                .positions = p.text_ids,
                .width = p.dit.text[2].width,
                .layers = 2,
                .heads = 2,
                .ffn = 20,
                .eos = c.at("end"),
                .activation = ClipTextConfig::Activation::kGelu};
  p.most_side = 32, p.side = 8;
  p.frames = 32;
  p.linear_steps = c.at("linear_steps");
  p.guidance = c.at("guidance");
  return p;
}

// A component, and the scope of its weights in the fixture.
struct StoredComponent {
  std::string scope, name;
  Result<Graph> graph;
};

inline void add_components(const Stored& io, Model* model, std::vector<StoredComponent> parts) {
  std::vector<Graph> graphs;
  for (StoredComponent& part : parts) {
    Graph graph = require_ok(std::move(part.graph));
    graph.name = part.name;
    for (const ValueId id : graph.weights()) {
      std::string& weight = graph.values[static_cast<size_t>(id)].name;
      weight = part.scope + "/" + weight;
    }
    graphs.push_back(graph);
    model->components.emplace(part.name, std::move(graph));
  }
  model->weights = std::make_shared<Held>(io, graphs);
}

inline Model model_of(const Stored& io, const MovieGenPipeline& p) {
  Model model;
  model.name = "movie gen";
  model.recipe = moviegen_recipe(p);
  model.tokenizers[""] = {"bytes", nullptr};
  std::vector<StoredComponent> parts;
  parts.push_back({"dit", "dit", build_moviegen_dit(p.dit)});
  parts.push_back({"tae", "encoder", build_tae_encoder(p.tae)});
  parts.push_back({"tae", "decoder", build_tae_decoder(p.tae)});
  parts.push_back({"ul2", "ul2", build_t5_encoder(p.ul2)});
  parts.push_back({"byt5", "byt5", build_t5_encoder(p.byt5)});
  parts.push_back({"metaclip", "metaclip", build_clip_text(p.metaclip)});
  if (p.dit.reference_width > 0)
    parts.push_back({"vision", "vision_encoder", build_clip_vision(p.vision)});
  add_components(io, &model, std::move(parts));
  return model;
}

inline Request request_of(const Stored& io) {
  const nlohmann::json& c = io.config;
  Request request;
  request.prompt = c.at("prompt");
  request.negative = c.at("negative");
  request.clip.width = c.at("width");
  request.clip.height = c.at("height");
  request.clip.frames = c.at("frames");
  request.steps = c.at("steps");
  for (const double x : io.tensor("in.noise").data) request.noise.push_back(static_cast<float>(x));
  return request;
}

// Calls with an engine on each device that is here.
template <typename F>
void on_each_device(const Model& model, F call) {
  for (const char* device : {"cpu", "vulkan", "cuda"}) {
    if (!has_device(device)) continue;
    CAPTURE(std::string(device));
    EngineOptions options;
    options.placement.device = device;
    const auto engine = require_ok(Engine::create(model, std::move(options)));
    call(*engine, device);
  }
}

inline std::vector<uint8_t> frames_of(Engine& engine, const Request& request) {
  Frames out(request.clip.width * request.clip.height * 3);
  const auto ran = engine.run(request, out);
  REQUIRE_MESSAGE(ran.ok(), ran.status().message());
  return std::move(out.pixels);
}

}  // namespace zoetrope::moviegen_fixture
