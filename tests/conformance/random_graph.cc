#include "tests/conformance/random_graph.h"

#include <cmath>

#include "graph/builder.h"

namespace zoetrope::conformance {
namespace {

constexpr int64_t kBatch = 2, kTokens = 7, kText = 5, kHeads = 3, kHeadDim = 8;
constexpr int64_t kWidth = kHeads * kHeadDim;

class Maker {
 public:
  Maker(uint64_t seed, int nodes) : random_(seed), builder_("random") {
    x_.push_back(builder_.input("x", DType::kF32, {kBatch, kTokens, kWidth}));
    cache_ = builder_.input("cache", DType::kF32, {kBatch, kTokens, kWidth});
    older_ = builder_.input("older", DType::kF32, {kBatch, kTokens, kWidth});
    x_.insert(x_.end(), {cache_, older_});
    vectors_.push_back(builder_.input("time", DType::kF32, {kBatch, 1, kWidth}, Rate::kTimestep));
    text_.push_back(builder_.input("text", DType::kF32, {kBatch, kText, kWidth}, Rate::kClip));
    lengths_ = builder_.input("lengths", DType::kI32, {kBatch}, Rate::kClip);
    for (int i = 0; i < nodes || x_.size() < 4; ++i) add_something(i);
  }

  Graph finish() {
    builder_.output("last", x_.back());
    builder_.output("any", pick(x_));
    builder_.output("vector", pick(vectors_));
    builder_.output("text_out", pick(text_));
    if (coin()) builder_.output("view", builder_.reshape(pick(x_), {kBatch * kTokens, kWidth}));
    // A shift register: what is in the cache moves on to `older`.
    builder_.state(cache_, x_[3 + random_() % (x_.size() - 3)]);
    builder_.state(older_, cache_);
    auto graph = builder_.finish();
    if (!graph.ok()) std::fprintf(stderr, "%s\n", graph.status().message().c_str());
    ZT_CHECK(graph.ok());
    auto bound = bind(*graph, {});
    if (!bound.ok()) std::fprintf(stderr, "%s\n", bound.status().message().c_str());
    ZT_CHECK(bound.ok());
    return *bound;
  }

 private:
  ValueId pick(const std::vector<ValueId>& list) { return list[random_() % list.size()]; }
  bool coin() { return random_() % 2 == 0; }

  // A list by rate and shape: tokens, one vector a sample, or text.
  std::vector<ValueId>& any_list() {
    switch (random_() % 4) {
      case 0: return vectors_;
      case 1: return text_;
      default: return x_;
    }
  }

  ValueId heads(ValueId v, int64_t tokens) {
    return builder_.reshape(v, {kBatch, tokens, kHeads, kHeadDim});
  }

  void add_something(int i) {
    const Builder::Scope scope = builder_.scope(str("n", i));
    switch (random_() % 19) {
      case 0: return add_unary();
      case 1: return add_binary();
      case 2: return add_modulation();
      case 3: return add_linear();
      case 4: return add_norm();
      case 5: return add_attention();
      case 6: return add_rope();
      case 7: return add_slices();
      case 8: return add_glu();
      case 9: return add_transposes();
      case 10: return add_conv();
      case 11: return add_naive_modulation();
      case 12: return add_naive_activation();
      case 13: return add_naive_norm_rope();
      case 14: return add_naive_residual_norm();
      case 15: return add_packed_attention();
      case 16:
      case 17: return add_quantized_rows();
      default: return add_sources();
    }
  }

  void add_unary() {
    auto& list = any_list();
    constexpr OpKind kKinds[] = {OpKind::kSilu, OpKind::kTanh, OpKind::kGeluTanh, OpKind::kSin,
                                 OpKind::kSigmoid};
    list.push_back(builder_.unary(kKinds[random_() % std::size(kKinds)], pick(list)));
  }

  void add_binary() {
    auto& list = any_list();
    const ValueId other = coin() ? pick(list) : pick(vectors_);
    list.push_back(coin() ? builder_.add(pick(list), other)
                          : builder_.mul(builder_.tanh(pick(list)), other));
  }

  void add_modulation() {
    auto& list = coin() ? x_ : text_;
    if (coin()) {
      list.push_back(builder_.op(OpKind::kGatedResidual, {pick(list), pick(list), pick(vectors_)}));
    } else {
      list.push_back(
          builder_.op(OpKind::kNormModulate, {pick(list), pick(vectors_), pick(vectors_)},
                      {{"norm", std::string(coin() ? "rms" : "layer")}, {"epsilon", 1e-5}}));
    }
  }

  void add_linear() {
    auto& list = any_list();
    if (coin()) {
      list.push_back(builder_.linear("fc", pick(list), kWidth, kWidth));
      return;
    }
    const ValueId w = builder_.weight("fused.weight", {kWidth, kWidth});
    const ValueId b = builder_.weight("fused.bias", {kWidth});
    list.push_back(builder_.op(OpKind::kLinear, {pick(list), w, b},
                               {{"transpose_b", true}, {"activation", std::string("silu")}}));
  }

  void add_norm() {
    auto& list = any_list();
    const ValueId w = coin() ? builder_.weight("norm.weight", {kWidth}) : kNone;
    list.push_back(coin() ? builder_.rms_norm(pick(list), w, 1e-5)
                          : builder_.layer_norm(pick(list), w, kNone, 1e-5));
  }

  void add_attention() {
    const bool cross = coin();
    const int64_t keys = cross ? kText : kTokens;
    auto& from = cross ? text_ : x_;
    const ValueId y = builder_.attention(heads(pick(x_), kTokens), heads(pick(from), keys),
                                         heads(pick(from), keys), cross ? lengths_ : kNone);
    x_.push_back(builder_.reshape(y, {kBatch, kTokens, kWidth}));
  }

  // Tables of angles depend on the shape alone.
  void add_rope() {
    ValueId angles = builder_.iota(kTokens * (kHeadDim / 2), 0, 0.1);
    angles = builder_.reshape(angles, {1, kTokens, 1, kHeadDim / 2});
    const ValueId cos = builder_.cos(angles), sin = builder_.sin(angles);
    const ValueId q = heads(pick(x_), kTokens);
    const ValueId y = coin() ? builder_.rope(q, cos, sin, "split")
                             : builder_.op(OpKind::kNormRope, {q, cos, sin}, {{"epsilon", 1e-5}});
    x_.push_back(builder_.reshape(y, {kBatch, kTokens, kWidth}));
  }

  void add_slices() {
    auto& list = any_list();
    const std::vector<ValueId> parts = builder_.split(pick(list), 2, kWidth / 3, 3);
    list.push_back(builder_.concat({parts[2], parts[0], parts[coin() ? 1 : 0]}, 2));
  }

  void add_glu() {
    const ValueId wide = builder_.concat({pick(x_), pick(x_)}, -1);
    x_.push_back(builder_.op(OpKind::kGlu, {wide}));
  }

  void add_transposes() {
    const ValueId t = builder_.transpose(heads(pick(x_), kTokens), {0, 2, 1, 3});
    const ValueId s = builder_.softmax(t, coin() ? -1 : 2);
    x_.push_back(builder_.reshape(builder_.transpose(s, {0, 2, 1, 3}), {kBatch, kTokens, kWidth}));
  }

  void add_conv() {
    const ValueId w = builder_.weight("conv.weight", {kWidth, 3, kWidth});
    x_.push_back(
        builder_.conv(pick(x_), w, {.stride = {}, .dilation = {}, .pad_lo = {1}, .pad_hi = {1}}));
  }

  // What passes fuse, written as models write it; now and then a value inside has another use.
  void maybe_used_elsewhere(ValueId v) {
    if (random_() % 5 == 0) x_.push_back(v);
  }

  void add_naive_modulation() {
    const ValueId x = pick(x_);
    const ValueId normed =
        coin() ? builder_.rms_norm(x, kNone, 1e-5) : builder_.layer_norm(x, kNone, kNone, 1e-5);
    maybe_used_elsewhere(normed);
    const ValueId factor = builder_.add(pick(vectors_), builder_.scalar(1));
    const ValueId scaled = builder_.mul(normed, factor);
    maybe_used_elsewhere(scaled);
    const ValueId y = builder_.add(scaled, pick(vectors_));
    const ValueId gated = builder_.mul(builder_.tanh(y), pick(vectors_));
    maybe_used_elsewhere(gated);
    x_.push_back(coin() ? builder_.add(x, gated) : builder_.add(gated, x));
  }

  void add_naive_activation() {
    constexpr OpKind kKinds[] = {OpKind::kSilu, OpKind::kGeluTanh, OpKind::kGelu};
    const OpKind kind = kKinds[random_() % std::size(kKinds)];
    const ValueId x = pick(x_);
    ValueId y;
    if (coin()) {
      y = builder_.linear("up", x, kWidth, kWidth, coin());
    } else {
      const ValueId w = builder_.weight("up.weight", {kWidth, 3, kWidth});
      const ValueId padded =
          builder_.pad(x, {0, 1, 0}, {0, 1, 0}, coin() ? "replicate" : "constant");
      y = builder_.add(builder_.conv(padded, w, {}), builder_.weight("up.bias", {kWidth}));
    }
    maybe_used_elsewhere(y);
    y = builder_.unary(kind, y);
    if (coin()) y = builder_.mul(y, builder_.linear("gate", x, kWidth, kWidth, false));
    x_.push_back(y);
  }

  void add_naive_norm_rope() {
    ValueId angles = builder_.iota(kTokens * (kHeadDim / 2), 0, 0.1);
    angles = builder_.reshape(angles, {1, kTokens, 1, kHeadDim / 2});
    const ValueId cos = builder_.cos(angles), sin = builder_.sin(angles);
    ValueId q = pick(x_);
    if (coin()) {
      q = heads(builder_.rms_norm(q, builder_.weight("norm.weight", {kWidth}), 1e-5), kTokens);
    } else {
      q = builder_.rms_norm(heads(q, kTokens), builder_.weight("norm.weight", {kHeadDim}), 1e-5);
    }
    q = builder_.rope(q, cos, sin, coin() ? "split" : "interleaved");
    x_.push_back(builder_.reshape(q, {kBatch, kTokens, kWidth}));
  }

  // A sum and the norm that reads it, plain or modulated.
  void add_naive_residual_norm() {
    const ValueId sum = builder_.add(pick(x_), builder_.tanh(pick(x_)));
    maybe_used_elsewhere(sum);
    ValueId y = builder_.layer_norm(sum, kNone, kNone, 1e-2);
    if (coin()) {
      const ValueId factor = builder_.add(pick(vectors_), builder_.scalar(1));
      y = builder_.add(builder_.mul(y, factor), pick(vectors_));
    }
    x_.push_back(builder_.add(sum, builder_.linear("branch", y, kWidth, kWidth)));
  }

  // Attention over the three parts of one projection.
  void add_packed_attention() {
    const ValueId rows = builder_.linear("qkv", pick(x_), kWidth, 3 * kWidth);
    std::vector<ValueId> parts = builder_.split(rows, -1, kWidth, 3);
    maybe_used_elsewhere(parts[random_() % 3]);
    for (ValueId& part : parts) part = heads(part, kTokens);
    const ValueId y = builder_.attention(parts[0], parts[1], parts[2]);
    x_.push_back(builder_.reshape(y, {kBatch, kTokens, kWidth}));
  }

  // Rows in 8 bits, as they are or behind a norm or an activation, times others. What a step of
  // such a number changes (a sixteenth of it in f8e4m3) is made small: kernels may take the next
  // one.
  void add_quantized_rows() {
    ValueId h = pick(x_);
    switch (random_() % 5) {
      case 0: h = builder_.unary(coin() ? OpKind::kSilu : OpKind::kGeluTanh, h); break;
      case 1: h = builder_.layer_norm(h, kNone, kNone, 1e-2); break;
      case 2: break;
      default: {
        const ValueId sum = builder_.add(h, builder_.tanh(pick(x_)));
        h = builder_.layer_norm(sum, kNone, kNone, 1e-2);
        maybe_used_elsewhere(h);
        x_.push_back(sum);
      }
    }
    const Attrs attrs{{"dtype", std::string(coin() ? "i8" : "f8e4m3")}};
    const std::vector<ValueId> a = builder_.add_node(OpKind::kQuantizeRows, {h}, attrs);
    const std::vector<ValueId> b = builder_.add_node(
        OpKind::kQuantizeRows, {builder_.reshape(pick(text_), {kBatch * kText, kWidth})}, attrs);
    const ValueId scale = builder_.fill(1.0 / 128, {kBatch * kText});
    const ValueId y = builder_.op(OpKind::kQuantizedMatmul, {a[0], a[1], b[0], scale});
    const ValueId back = builder_.linear("back", builder_.tanh(y), kBatch * kText, kWidth);
    // Not on values that are all but equal: a norm of them would show the rounding of the sum.
    const ValueId base = builder_.add(pick(x_), x_.front());
    x_.push_back(builder_.add(base, builder_.mul(back, builder_.scalar(2e-5))));
  }

  void add_sources() {
    const ValueId ramp = builder_.iota(kWidth, -1, 0.07);
    vectors_.push_back(builder_.add(pick(vectors_), ramp));
    vectors_.push_back(builder_.add(pick(vectors_), builder_.weight("table", {kWidth})));
  }

  std::mt19937_64 random_;
  Builder builder_;
  std::vector<ValueId> x_, vectors_, text_;
  ValueId cache_, older_, lengths_;
};

}  // namespace

Graph random_graph(uint64_t seed, int nodes) { return Maker(seed, nodes).finish(); }

void fill_weights(const Graph& graph, uint64_t seed, DType storage, MemoryWeights* weights) {
  std::mt19937_64 random(seed);
  for (ValueId id : graph.weights()) {
    const Value& value = graph.value(id);
    const Shape& shape = value.type.shape;
    const double depth = static_cast<double>(shape.elements() / shape[0]);
    std::uniform_real_distribution<double> draw(-std::sqrt(3 / depth), std::sqrt(3 / depth));
    EvalTensor tensor{shape, {}};
    for (int64_t i = 0; i < shape.elements(); ++i) tensor.data.push_back(draw(random));
    weights->add(value.name, storage, tensor);
  }
}

EvalTensor draw_input(const Graph& graph, ValueId id, std::mt19937_64* random) {
  const TensorType& type = graph.value(id).type;
  EvalTensor tensor{type.shape, {}};
  std::uniform_real_distribution<double> draw(-1, 1);
  for (int64_t i = 0; i < type.shape.elements(); ++i)
    tensor.data.push_back(is_float(type.dtype) ? static_cast<float>(draw(*random))
                                               : static_cast<double>((*random)() % (kText + 1)));
  return tensor;
}

}  // namespace zoetrope::conformance
