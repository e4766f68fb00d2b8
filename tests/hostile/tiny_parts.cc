#include "tests/hostile/tiny_parts.h"

#include <algorithm>

namespace zoetrope {
namespace {

// Every third tensor lies in the file, in turns as f32, f16 and bf16; the others are generated.
TensorSource source_of(const Value& weight, uint64_t index) {
  TensorSource source{weight.name, {weight.type.dtype, {}}, std::nullopt, {}};
  for (const Dim& dim : weight.dims) source.type.shape.push_back(dim.constant());
  if (index % 3 != 0) {
    source.synthetic = SyntheticTensor{Distribution::kNormal, 0, 0.2, index};
    return source;
  }
  constexpr DType kStored[] = {DType::kF32, DType::kF16, DType::kBF16};
  if (source.type.dtype == DType::kF32) source.type.dtype = kStored[index / 3 % 3];
  source.load = [type = source.type]() -> Result<WeightData> {
    auto bytes = std::make_shared<std::vector<uint8_t>>(static_cast<size_t>(type.bytes()));
    for (int64_t i = 0; i < type.shape.elements(); ++i)
      store_element(type.dtype, bytes->data(), i, static_cast<double>(i % 7) * 0.125 - 0.375);
    return WeightData{type, bytes->data(), bytes};
  };
  return source;
}

}  // namespace

namespace tiny {
namespace {

ValueId heads(Builder& b, ValueId x, const Dim& length) {
  return b.reshape(x, {kBatch, length, kHeads, kHeadDim});
}

}  // namespace

Graph finished(Builder& b) {
  auto graph = b.finish();
  if (!graph.ok()) std::fprintf(stderr, "%s\n", graph.status().message().c_str());
  ZT_CHECK(graph.ok());
  return std::move(*graph);
}

ValueId attend(Builder& b, std::string_view name, ValueId x, const Dim& length, ValueId from,
               const Dim& other, ValueId lengths, ValueId cos, ValueId sin) {
  const auto scope = b.scope(name);
  ValueId q = heads(b, b.linear("q", x, kWidth, kWidth), length);
  ValueId k = heads(b, b.linear("k", from, kWidth, kWidth), other);
  const ValueId v = heads(b, b.linear("v", from, kWidth, kWidth, false), other);
  if (cos != kNone) {
    q = b.rope(b.rms_norm(q, b.weight("q_norm", {kHeadDim}), 1e-6), cos, sin);
    k = b.rope(b.rms_norm(k, b.weight("k_norm", {kHeadDim}), 1e-6), cos, sin);
  }
  const ValueId mixed = b.reshape(b.attention(q, k, v, lengths), {kBatch, length, kWidth});
  return b.add(x, b.linear("out", mixed, kWidth, kWidth));
}

ValueId embed_time(Builder& b, ValueId time, std::string_view name) {
  const auto scope = b.scope(name);
  const ValueId rates = b.exp(b.iota(4, 0, -1));
  const ValueId angles = b.mul(b.reshape(time, {kBatch, 1}), b.reshape(rates, {1, 4}));
  const ValueId waves = b.concat({b.sin(angles), b.cos(angles)}, 1);
  const ValueId hidden = b.silu(b.linear("0", waves, 8, kWidth));
  return b.reshape(b.linear("1", hidden, kWidth, 2 * kWidth), {kBatch, 1, 2 * kWidth});
}

ValueId modulate(Builder& b, ValueId x, ValueId time) {
  const auto parts = b.split(time, 2, kWidth, 2);
  const ValueId normed = b.layer_norm(x, kNone, kNone, 1e-6);
  return b.add(b.mul(normed, b.add(b.scalar(1), parts[0])), parts[1]);
}

std::pair<ValueId, ValueId> rope_tables(Builder& b, const Dim& length) {
  const ValueId rates = b.exp(b.iota(kHeadDim / 2, 0, -2));
  const ValueId angles =
      b.mul(b.reshape(b.iota(length), {length, 1}), b.reshape(rates, {1, kHeadDim / 2}));
  return {b.reshape(b.cos(angles), {1, length, 1, kHeadDim / 2}),
          b.reshape(b.sin(angles), {1, length, 1, kHeadDim / 2})};
}

ValueId feed_forward(Builder& b, ValueId x) {
  const ValueId h = b.rms_norm(x, b.weight("ffn.norm", {kWidth}), 1e-6);
  const ValueId gate = b.gelu_tanh(b.linear("ffn.gate", h, kWidth, 2 * kWidth));
  const ValueId up = b.linear("ffn.up", h, kWidth, 2 * kWidth);
  return b.add(x, b.linear("ffn.down", b.mul(gate, up), 2 * kWidth, kWidth));
}

Builder::ConvOptions strided(std::vector<int64_t> stride, std::vector<int64_t> pad) {
  Builder::ConvOptions options;
  options.stride = std::move(stride);
  options.pad_lo = options.pad_hi = std::move(pad);
  return options;
}

TinyModel whole(const char* name, std::vector<Graph> components, Recipe recipe) {
  TinyModel model;
  model.info.name = name;
  model.info.family = "test";
  model.info.components = std::move(components);
  if (recipe.reads_text()) model.info.tokenizers = {{"", "bytes", {}}};
  model.recipe = std::move(recipe);
  model.complete_tensors();
  return model;
}

}  // namespace tiny

Graph& TinyModel::component(std::string_view name) {
  for (Graph& graph : info.components)
    if (graph.name == name) return graph;
  ZT_CHECK(false);
  return info.components.front();
}

void TinyModel::complete_tensors() {
  for (const Graph& graph : info.components)
    for (const ValueId id : graph.weights()) {
      const Value& weight = graph.value(id);
      const bool there = std::any_of(tensors.begin(), tensors.end(),
                                     [&](const TensorSource& t) { return t.name == weight.name; });
      if (!there) tensors.push_back(source_of(weight, tensors.size()));
    }
}

Status TinyModel::write(const std::string& path) const {
  ModelInfo whole = info;
  if (whole.recipe.empty()) whole.recipe = recipe_to_json(recipe);
  return write_model(path, whole, tensors);
}

}  // namespace zoetrope
