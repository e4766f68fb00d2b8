// A small network with weights at every rate, numbers for it, and a clip's way through it: what
// tests of weights that do not lie on the device as they are have in common.
#pragma once

#include <doctest/doctest.h>

#include <functional>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "graph/builder.h"
#include "graph/evaluate.h"
#include "runtime/plan/session.h"

namespace zoetrope {

inline constexpr int64_t kTokens = 24;

struct Blocks {
  int64_t width, count;
  int64_t wider;             // each block's middle than the one's before
  int64_t sharing, as_well;  // the two blocks that one weight serves
};

// Text projections once a clip, modulation once a timestep, two products a block at every step.
// `end` makes the outputs, [kTokens, width] "y" among them.
inline Graph block_network(const Blocks& blocks,
                           const std::function<void(Builder& b, ValueId x)>& end) {
  const int64_t width = blocks.width;
  Builder b("net");
  const ValueId text = b.input("text", DType::kF32, {4, width}, Rate::kClip);
  const ValueId time = b.input("time", DType::kF32, {1, width}, Rate::kTimestep);
  ValueId x = b.input("x", DType::kF32, {kTokens, width});
  const ValueId shared = b.weight("shared", {width, width});
  for (int64_t i = 0; i < blocks.count; ++i) {
    const auto scope = b.scope("blocks." + std::to_string(i));
    const int64_t middle = 2 * width + blocks.wider * i;
    const ValueId keys = b.linear("text", text, width, width);
    const ValueId scale = b.linear("modulation", time, width, width);
    const ValueId scores = b.softmax(b.matmul(b.mul(x, scale), keys, true));
    ValueId h = b.matmul(scores, keys);
    h = b.linear("up", h, width, middle);
    h = b.linear("down", b.gelu_tanh(h), middle, width);
    if (i == blocks.sharing || i == blocks.as_well) h = b.matmul(h, shared, true);
    x = b.add(x, h);
  }
  end(b, x);
  auto graph = b.finish();
  REQUIRE_MESSAGE(graph.ok(), graph.status().message());
  return std::move(*graph);
}

inline std::vector<float> normal_noise(uint64_t seed, int64_t count) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> list(static_cast<size_t>(count));
  for (float& x : list) x = normal(random);
  return list;
}

// Of a bound graph.
inline MemoryWeights noise_weights(const Graph& graph, DType dtype) {
  MemoryWeights weights;
  uint64_t seed = 1;
  for (ValueId id : graph.weights()) {
    const Value& value = graph.value(id);
    const auto drawn = normal_noise(++seed, value.type.shape.elements());
    EvalTensor tensor{value.type.shape, {drawn.begin(), drawn.end()}};
    for (double& w : tensor.data) w *= 0.07;
    weights.add(value.name, dtype, tensor);
  }
  return weights;
}

// "y" of a clip as it is denoised: new text, new times, and times that stay.
inline std::vector<std::vector<float>> denoise_clip(Session& session, uint64_t steps) {
  std::vector<std::vector<float>> outputs;
  const auto set = [&](const char* name, uint64_t seed) {
    const auto data = normal_noise(seed, session.input_type(name)->shape.elements());
    REQUIRE(session.set_input(name, std::span<const float>(data)).ok());
  };
  for (uint64_t step = 0; step < steps; ++step) {
    if (step % 4 == 0) set("text", 100 + step);
    if (step % 2 == 0) set("time", 200 + step);
    set("x", 300 + step);
    const Status ran = session.run();
    REQUIRE_MESSAGE(ran.ok(), ran.message());
    const TensorType type = *session.output_type("y");
    auto& y = outputs.emplace_back(static_cast<size_t>(type.shape.elements()));
    REQUIRE(session.get_output("y", y.data(), type.bytes()).ok());
  }
  return outputs;
}

}  // namespace zoetrope
