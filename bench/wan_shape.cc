#include "bench/wan_shape.h"

#include "graph/builder.h"

namespace zoetrope::bench {
namespace {

struct Dit {
  Builder& b;
  const WanShape& s;
  ValueId cos, sin;

  ValueId heads(ValueId x, int64_t tokens) {
    return b.reshape(x, {1, tokens, s.heads, s.width / s.heads});
  }
  ValueId project(std::string_view name, ValueId x) { return b.linear(name, x, s.width, s.width); }
  // RMSNorm over the full width, before the split into heads.
  ValueId normed(std::string_view name, ValueId x) {
    return b.rms_norm(project(name, x), b.weight(str("norm_", name, ".weight"), {s.width}), 1e-6);
  }

  ValueId self_attention(ValueId x) {
    const auto scope = b.scope("self_attn.");
    const ValueId q = b.rope(heads(normed("q", x), s.tokens), cos, sin);
    const ValueId k = b.rope(heads(normed("k", x), s.tokens), cos, sin);
    const ValueId v = heads(project("v", x), s.tokens);
    return project("o", b.reshape(b.attention(q, k, v), {1, s.tokens, s.width}));
  }

  ValueId cross_attention(ValueId x, ValueId text) {
    const auto scope = b.scope("cross_attn.");
    const ValueId q = heads(normed("q", x), s.tokens);
    const ValueId k = heads(normed("k", text), s.text_tokens);
    const ValueId v = heads(project("v", text), s.text_tokens);
    return project("o", b.reshape(b.attention(q, k, v), {1, s.tokens, s.width}));
  }

  // norm(x)·(1 + scale) + shift
  ValueId modulate(ValueId x, ValueId shift, ValueId scale) {
    const ValueId y = b.layer_norm(x, kNone, kNone, 1e-6);
    return b.add(b.mul(y, b.add(scale, b.scalar(1))), shift);
  }

  // time [1, 6, C]: shift, scale and gate of the attention, then of the FFN.
  ValueId block(ValueId x, ValueId time, ValueId text) {
    const ValueId table = b.weight("modulation", {1, 6, s.width});
    const auto m = b.split(b.add(time, table), 1, 1, 6);
    x = b.add(x, b.mul(self_attention(modulate(x, m[0], m[1])), m[2]));
    const ValueId n = b.layer_norm(x, b.weight("norm3.weight", {s.width}),
                                   b.weight("norm3.bias", {s.width}), 1e-6);
    x = b.add(x, cross_attention(n, text));
    ValueId h = modulate(x, m[3], m[4]);
    h = b.gelu_tanh(b.linear("ffn.0", h, s.width, s.ffn));
    return b.add(x, b.mul(b.linear("ffn.2", h, s.ffn, s.width), m[5]));
  }
};

}  // namespace

Result<Graph> build_wan_shape(const WanShape& s) {
  Builder b("wan_shape");
  const int64_t pairs = s.width / s.heads / 2;
  const ValueId tokens = b.input("tokens", DType::kF32, {1, s.tokens, s.patch_channels});
  const ValueId time = b.input("time", DType::kF32, {1, s.time_features}, Rate::kTimestep);
  ValueId text = b.input("text", DType::kF32, {1, s.text_tokens, s.text_width}, Rate::kClip);
  const ValueId cos = b.input("cos", DType::kF32, {1, s.tokens, 1, pairs}, Rate::kShape);
  const ValueId sin = b.input("sin", DType::kF32, {1, s.tokens, 1, pairs}, Rate::kShape);
  Dit dit{b, s, cos, sin};

  text = b.linear("text_embedding.2",
                  b.gelu_tanh(b.linear("text_embedding.0", text, s.text_width, s.width)), s.width,
                  s.width);
  const ValueId embedding = b.linear(
      "time_embedding.2", b.silu(b.linear("time_embedding.0", time, s.time_features, s.width)),
      s.width, s.width);
  const ValueId modulation = b.reshape(
      b.linear("time_projection.1", b.silu(embedding), s.width, 6 * s.width), {1, 6, s.width});
  ValueId x = b.linear("patch_embedding", tokens, s.patch_channels, s.width);
  for (int64_t i = 0; i < s.layers; ++i) {
    const auto scope = b.scope(str("blocks.", i, "."));
    x = dit.block(x, modulation, text);
  }
  const auto head = b.split(
      b.add(b.reshape(embedding, {1, 1, s.width}), b.weight("head.modulation", {1, 2, s.width})), 1,
      1, 2);
  x = dit.modulate(x, head[0], head[1]);
  b.output("velocity", b.linear("head.head", x, s.width, s.patch_channels));
  return b.finish();
}

}  // namespace zoetrope::bench
