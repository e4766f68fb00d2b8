// The whole pipeline on random graphs made of what the passes look for and of near misses.
#include <ctime>

#include "graph/passes/decompose.h"
#include "graph/passes/pipeline.h"
#include "tests/passes/pass_test.h"

using namespace zoetrope;
using namespace zoetrope::passes_test;

namespace {

constexpr int64_t kBatch = 2, kRows = 3, kWidth = 8, kHeads = 2;

class RandomModel {
 public:
  explicit RandomModel(unsigned seed) : random_(seed), b_("random") {}

  Graph build() {
    x_ = b_.input("x", DType::kF32, {kBatch, kRows, kWidth});
    image_ = b_.input("image", DType::kF32, {1, 4, 5, 3});
    text_ = b_.input("text", DType::kF32, {kBatch, kRows, kWidth}, Rate::kClip);
    time_ = b_.input("time", DType::kF32, {kBatch, 1, kWidth}, Rate::kTimestep);
    tables_ = b_.input("tables", DType::kF32, {1, kRows, 1, kWidth / kHeads / 2}, Rate::kShape);
    const int layers = 3 + pick(6);
    for (int i = 0; i < layers; ++i) {
      const auto scope = b_.scope(str("blocks.", i));
      layer();
      // Now and then something else reads what a fusion would like to absorb.
      if (pick(4) == 0) b_.output(str("tap", i), tap_ == kNone ? x_ : tap_);
    }
    b_.output("y", x_);
    return finished(b_);
  }

 private:
  int pick(int n) { return static_cast<int>(random_() % static_cast<unsigned>(n)); }
  bool coin() { return pick(2) == 0; }
  ValueId commuted(OpKind op, ValueId a, ValueId b) {
    return coin() ? b_.op(op, {a, b}) : b_.op(op, {b, a});
  }
  ValueId activation(ValueId x) {
    constexpr OpKind kKinds[] = {OpKind::kSilu, OpKind::kGeluTanh, OpKind::kGelu, OpKind::kTanh};
    return b_.unary(kKinds[pick(4)], x);
  }
  ValueId linear(const char* name, ValueId x, int64_t in, int64_t out) {
    return b_.linear(name, x, in, out, coin());
  }
  ValueId norm(ValueId x) {
    return coin() ? b_.rms_norm(x, coin() ? b_.weight("norm", {kWidth}) : kNone, 1e-6)
                  : b_.layer_norm(x, kNone, kNone, 1e-5);
  }

  void layer() {
    switch (pick(10)) {
      case 0: {  // linear, activation
        tap_ = linear("fc", x_, kWidth, kWidth);
        x_ = activation(tap_);
        break;
      }
      case 1: {  // modulation, with a one that may be a two
        const ValueId scale = linear("scale", time_, kWidth, kWidth);
        tap_ = norm(x_);
        const ValueId factor = commuted(OpKind::kAdd, scale, b_.scalar(pick(3) == 0 ? 2 : 1));
        x_ = commuted(OpKind::kAdd, commuted(OpKind::kMul, tap_, factor), pick(3) ? time_ : text_);
        break;
      }
      case 2: {  // gated residual; the gate may be as large as what it gates
        tap_ = commuted(OpKind::kMul, linear("y", x_, kWidth, kWidth), coin() ? time_ : text_);
        x_ = commuted(OpKind::kAdd, tap_, x_);
        break;
      }
      case 3: {  // gated unit; sometimes gates itself
        const ValueId up = linear("up", x_, kWidth, kWidth);
        tap_ = activation(coin() ? linear("gate", x_, kWidth, kWidth) : up);
        x_ = commuted(OpKind::kMul, tap_, coin() ? up : tap_);
        break;
      }
      case 4: {  // attention with norms and rope, norm before or after the split
        const std::vector<Dim> heads{kBatch, kRows, kHeads, kWidth / kHeads};
        const auto side = [&](const char* name, ValueId from) {
          ValueId q = linear(name, from, kWidth, kWidth);
          q = coin()
                  ? b_.reshape(b_.rms_norm(q, b_.weight(str(name, "_norm"), {kWidth}), 1e-6), heads)
                  : b_.rms_norm(b_.reshape(q, heads), kNone, 1e-6);
          if (pick(3))
            q = b_.rope(q, b_.cos(tables_), b_.sin(tables_), coin() ? "interleaved" : "split");
          return q;
        };
        tap_ = side("q", x_);
        const ValueId context = coin() ? x_ : text_;
        const ValueId v = b_.reshape(linear("v", context, kWidth, kWidth), heads);
        const ValueId y = b_.attention(tap_, side("k", context), v);
        x_ = b_.add(x_, linear("o", b_.reshape(y, {kBatch, kRows, kWidth}), kWidth, kWidth));
        break;
      }
      case 5: {  // convolution behind a pad
        const char* const modes[] = {"replicate", "constant", "reflect"};
        const ValueId padded = b_.pad(image_, {0, 1, 1, 0}, {0, 1, pick(2), 0}, modes[pick(3)]);
        const int64_t own = pick(2);
        ValueId y = b_.conv(padded, b_.weight("kernel", {kWidth, 3, 2, 3}),
                            {.stride = {}, .dilation = {}, .pad_lo = {own, 0}, .pad_hi = {0, 0}});
        tap_ = coin() ? b_.add(y, b_.weight("bias", {kWidth})) : y;
        const ValueId mean = b_.reduce(OpKind::kReduceMean, activation(tap_), {0, 1, 2}, false);
        x_ = commuted(OpKind::kAdd, x_, mean);
        break;
      }
      case 6: {  // rows that change less often in front of those that do
        const ValueId h = norm(b_.concat({text_, x_}, 1));
        tap_ = linear("joint", h, kWidth, 16);
        const ValueId back = linear("back", activation(tap_), 16, kWidth);
        x_ =
            coin() ? b_.slice(back, 1, kRows, Builder::kToEnd) : b_.slice(back, 1, 1, 2 * kRows, 2);
        break;
      }
      case 7: {  // layout that comes and goes, and constants
        const ValueId turned =
            b_.transpose(b_.reshape(x_, {kBatch, kRows, 2, kWidth / 2}), {0, 2, 1, 3});
        tap_ = b_.reshape(b_.transpose(turned, {0, 2, 1, 3}), {kBatch, kRows, kWidth});
        const ValueId half = b_.div(b_.scalar(1), b_.add(b_.scalar(1), b_.fill(1, {kWidth})));
        x_ = b_.mul(b_.add(tap_, b_.scalar(pick(2))), half);
        break;
      }
      case 8: {  // a sum, its norm, and other readers of the sum in front of the norm or behind it
        tap_ = linear("branch", x_, kWidth, kWidth);
        if (coin()) tap_ = commuted(OpKind::kMul, tap_, coin() ? time_ : text_);
        const ValueId sum = commuted(OpKind::kAdd, x_, tap_);
        const ValueId before = pick(3) == 0 ? b_.tanh(sum) : kNone;
        ValueId h = norm(sum);
        if (coin()) h = b_.add(b_.mul(h, b_.add(time_, b_.scalar(1))), time_);
        if (pick(3) == 0) tap_ = sum;
        x_ = b_.add(coin() ? sum : text_, linear("next", h, kWidth, kWidth));
        if (before != kNone) x_ = b_.add(x_, before);
        break;
      }
      case 9: {  // one projection for q, k and v, or two
        const std::vector<Dim> heads{kBatch, kRows, kHeads, kWidth / kHeads};
        const std::vector<ValueId> parts =
            b_.split(linear("qkv", x_, kWidth, 3 * kWidth), coin() ? -1 : 2, kWidth, 3);
        tap_ = parts[static_cast<size_t>(pick(3))];
        const ValueId q = b_.reshape(coin() ? parts[0] : text_, heads);
        const ValueId k = coin() ? b_.reshape(parts[1], heads) : q;
        const ValueId v = b_.reshape(coin() ? parts[2] : b_.tanh(parts[2]), heads);
        x_ = b_.reshape(b_.attention(q, k, v), {kBatch, kRows, kWidth});
        break;
      }
    }
  }

  std::mt19937 random_;
  Builder b_;
  ValueId x_ = kNone, image_ = kNone, text_ = kNone, time_ = kNone, tables_ = kNone, tap_ = kNone;
};

// Exact evaluation: casts do not round, so every compute type must give the same values.
Graph optimised(const Graph& graph, DType compute) {
  PassOptions options;
  options.compute = compute;
  options.storage = [](std::string_view) -> Result<DType> { return DType::kF32; };
  options.observer = [&](std::string_view pass, const Graph& g) {
    const Status status = verify(g);
    REQUIRE_MESSAGE(status.ok(), pass, ": ", status.message());
  };
  auto out = run_passes(graph, options);
  REQUIRE_MESSAGE(out.ok(), out.status().message());
  return std::move(*out);
}

// A DiT as large as the largest we have, written naively.
Graph large_model(int layers) {
  constexpr int64_t kHidden = 6144, kHeadCount = 48, kHeadSize = 128, kText = 256;
  const Dim tokens = Dim::symbol("tokens");
  Builder b("dit");
  ValueId x = b.input("x", DType::kF32, {1, tokens, kHidden});
  const ValueId text = b.input("text", DType::kF32, {1, kText, kHidden}, Rate::kClip);
  const ValueId time = b.input("time", DType::kF32, {1, kHidden}, Rate::kTimestep);
  const ValueId angles =
      b.mul(b.reshape(b.iota(tokens), {tokens, 1}), b.exp(b.iota(kHeadSize / 2, 0, -0.1)));
  const ValueId cos = b.reshape(b.cos(angles), {1, tokens, 1, kHeadSize / 2});
  const ValueId sin = b.reshape(b.sin(angles), {1, tokens, 1, kHeadSize / 2});
  for (int i = 0; i < layers; ++i) {
    const auto scope = b.scope(str("blocks.", i));
    const ValueId m =
        b.reshape(b.linear("modulation", b.silu(time), kHidden, 6 * kHidden), {1, 6, kHidden});
    const std::vector<ValueId> p = b.split(m, 1, 1, 6);
    const auto modulated = [&](ValueId shift, ValueId scale) {
      return b.add(b.mul(b.rms_norm(x, kNone, 1e-6), b.add(scale, b.scalar(1))), shift);
    };
    const auto attend = [&](std::string_view name, ValueId q_from, ValueId k_from, const Dim& keys,
                            bool rotate) {
      const auto inner = b.scope(name);
      const auto side = [&](const char* which, ValueId from, const Dim& n, bool turn) {
        const ValueId h = b.rms_norm(b.linear(which, from, kHidden, kHidden),
                                     b.weight(str(which, "_norm"), {kHidden}), 1e-6);
        const ValueId split = b.reshape(h, {1, n, kHeadCount, kHeadSize});
        return turn ? b.rope(split, cos, sin) : split;
      };
      const ValueId v =
          b.reshape(b.linear("v", k_from, kHidden, kHidden), {1, keys, kHeadCount, kHeadSize});
      const ValueId y =
          b.attention(side("q", q_from, tokens, rotate), side("k", k_from, keys, rotate), v);
      return b.linear("o", b.reshape(y, {1, tokens, kHidden}), kHidden, kHidden);
    };
    const ValueId h = modulated(p[0], p[1]);
    x = b.add(x, b.mul(p[2], attend("self", h, h, tokens, true)));
    x = b.add(x, attend("cross", x, text, kText, false));
    const ValueId f = modulated(p[3], p[4]);
    const ValueId gated =
        b.mul(b.silu(b.linear("gate", f, kHidden, 16384)), b.linear("up", f, kHidden, 16384));
    x = b.add(x, b.mul(p[5], b.linear("down", gated, 16384, kHidden)));
  }
  b.output("y", x);
  auto graph = b.finish();
  REQUIRE_MESSAGE(graph.ok(), graph.status().message());
  return std::move(*graph);
}

}  // namespace

TEST_CASE(
    "random graphs keep their values through all passes, and fused ops through decomposition") {
  const unsigned first = std::random_device{}();
  int fused = 0;
  for (unsigned i = 0; i < 300; ++i) {
    const unsigned seed = first + i;
    CAPTURE(seed);
    const Graph graph = RandomModel(seed).build();
    for (DType compute : {DType::kF32, DType::kBF16}) {
      const Graph out = optimised(graph, compute);
      check_same(graph, out, 1e-6, seed);
      for (const Node& node : out.nodes) fused += op_def(node.op).is_fused();
      const auto any_fused = [](const Graph& g) {
        return std::any_of(g.nodes.begin(), g.nodes.end(),
                           [](const Node& node) { return op_def(node.op).is_fused(); });
      };
      auto core = decompose_fused(out, [](const Node&) { return true; });
      for (int round = 0; round < 3 && core.ok() && any_fused(*core); ++round)
        core = decompose_fused(*core, [](const Node&) { return true; });
      REQUIRE_MESSAGE(core.ok(), core.status().message());
      CHECK_FALSE(any_fused(*core));
      CHECK(verify(*core).ok());
      check_same(graph, *core, 1e-6, seed);
    }
  }
  CHECK(fused > 1000);  // the graphs do hold what the fusions look for
}

TEST_CASE("a large model compiles without quadratic work") {
  // Processor time, so that a busy machine changes little: four times the layers must not take much
  // more than four times as long. Prints both.
  const auto seconds = [](int layers, size_t* nodes) {
    const Graph graph = large_model(layers);
    double best = 1e9;
    for (int round = 0; round < 3; ++round) {
      const std::clock_t start = std::clock();
      auto bound = zoetrope::bind(graph, {{"tokens", 73728}});
      REQUIRE_MESSAGE(bound.ok(), bound.status().message());
      PassOptions options;
      options.compute = DType::kBF16;
      options.storage = [](std::string_view) -> Result<DType> { return DType::kBF16; };
      auto out = run_passes(std::move(*bound), options);
      REQUIRE_MESSAGE(out.ok(), out.status().message());
      *nodes = graph.nodes.size();
      // Every norm but the first follows a residual: the last layer's FFN, or cross-attention.
      CHECK(count(*out, OpKind::kNormModulate) == 1);
      CHECK(count(*out, OpKind::kResidualNorm) == 2 * layers - 1);
      CHECK(count(*out, OpKind::kNormRope) == 2 * layers);
      CHECK(count(*out, OpKind::kGatedResidual) == layers + 1);
      CHECK(count(*out, OpKind::kGlu) == layers);
      best = std::min(best, static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC);
    }
    return best;
  };
  size_t small_nodes = 0, large_nodes = 0;
  const double small = seconds(12, &small_nodes), large = seconds(48, &large_nodes);
  MESSAGE(small_nodes, " nodes bound and optimised in ", small, " s, ", large_nodes, " in ", large,
          " s");
  CHECK(large < 12 * small);
}
