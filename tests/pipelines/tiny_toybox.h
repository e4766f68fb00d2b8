// Toybox's tiny parity configuration as a model, and what pipeline tests do with it.
#pragma once

#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <vector>

#include "converters/checkpoint.h"
#include "converters/weight_map.h"
#include "models/toybox/toybox.h"
#include "runtime/backend/registry.h"
#include "runtime/engine/engine.h"

namespace zoetrope::tiny {

// Keeps what a pipeline gives.
class Collect : public ClipSink {
 public:
  Status frames(const uint8_t* pixels, int64_t count) override {
    video.insert(video.end(), pixels, pixels + count * frame_bytes);
    return Status();
  }
  Status audio(const float* samples, int64_t count) override {
    sound.insert(sound.end(), samples, samples + count * 2);
    return Status();
  }
  int64_t frame_bytes = 0;
  std::vector<uint8_t> video;
  std::vector<float> sound;
};

struct Fixture {
  Fixture() {
    auto opened = open_safetensors(std::string(ZOETROPE_SOURCE_DIR) +
                                   "/tests/parity/data/toybox_pipeline.safetensors");
    REQUIRE_MESSAGE(opened.ok(), opened.status().message());
    file = std::move(*opened);
    auto config = parse_toybox_config(file->metadata().at("config"));
    REQUIRE_MESSAGE(config.ok(), config.status().message());
    auto graphs = build_toybox(*config);
    REQUIRE_MESSAGE(graphs.ok(), graphs.status().message());
    auto map = WeightMap::create(*file, *graphs, [](const std::string& name) { return name; });
    REQUIRE_MESSAGE(map.ok(), map.status().message());
    model.weights = std::make_shared<WeightMap>(std::move(*map));
    model.name = "tiny toybox";
    model.recipe = config->recipe;
    model.recipe.clip.width = model.recipe.clip.height = {8, 64, 8, 16};
    model.recipe.clip.frames = {1, 64, 1, 12};
    model.tokenizers[""] = {"bytes", nullptr};
    for (Graph& graph : *graphs) {
      const std::string name = graph.name;
      model.components.emplace(name, std::move(graph));
    }
  }

  template <typename S>
  S& stage() {
    for (Stage& s : model.recipe.stages)
      if (S* found = std::get_if<S>(&s)) return *found;
    FAIL("no such stage");
    return std::get<S>(model.recipe.stages.front());
  }

  std::unique_ptr<Engine> engine(const std::string& device, int threads = 0,
                                 const std::string& target = "", bool keep = false) const {
    EngineOptions options;
    options.devices = {.threads = threads, .force_target = target};
    options.placement.device = device;
    options.keep_sessions = keep;
    return make_engine(std::move(options));
  }
  std::unique_ptr<Engine> make_engine(EngineOptions options) const {
    auto made = Engine::create(model, std::move(options));
    REQUIRE_MESSAGE(made.ok(), made.status().message());
    return std::move(*made);
  }

  std::vector<float> values(const std::string& name) const {
    auto data = file->load(name);
    REQUIRE_MESSAGE(data.ok(), data.status().message());
    std::vector<float> out;
    for (int64_t i = 0; i < data->type.shape.elements(); ++i)
      out.push_back(static_cast<float>(load_element(data->type.dtype, data->data, i)));
    return out;
  }

  std::unique_ptr<Checkpoint> file;
  Model model;
};

inline Request small_clip() {
  Request options;
  options.prompt = "a small red star bounces";
  options.clip = {.width = 24, .height = 16, .frames = 12};
  options.steps = 3;
  options.seed = 11;
  return options;
}

inline Collect run(Engine& engine, const Request& options, RunStats* stats = nullptr) {
  Collect sink;
  sink.frame_bytes = options.clip.width * options.clip.height * 3;
  auto result = engine.run(options, sink);
  REQUIRE_MESSAGE(result.ok(), result.status().message());
  if (stats) *stats = *result;
  return sink;
}

}  // namespace zoetrope::tiny
