#include "models/moviegen/block.h"

namespace zoetrope::moviegen {

using layers::AttentionSpec;

Time embed_time(Builder& b, ValueId time, const Dim& batch, int64_t features, int64_t width,
                ValueId more) {
  const ValueId waves = layers::timestep_features(b, time, batch, features, 10000, 1000);
  ValueId embedding =
      b.linear("time.out", b.silu(b.linear("time.in", waves, features, width)), width, width);
  if (more != kNone) embedding = b.add(embedding, more);
  return {embedding, b.reshape(b.linear("time.projection", b.silu(embedding), width, 6 * width),
                               {batch, 6, width})};
}

ValueId block(Builder& b, ValueId x, const Block& s) {
  const ValueId m = b.add(s.modulation, b.weight("modulation", {6, s.width}));
  const std::vector<ValueId> parts = b.split(m, 1, 1, 6);
  const auto norm = [&](const char* name) {
    return b.rms_norm(x, b.weight(name, {s.width}), s.epsilon);
  };
  AttentionSpec self{s.width,    s.width / s.heads,
                     s.width,    s.epsilon,
                     s.rope.cos, s.rope.sin,
                     kNone,      s.tokens,
                     s.tokens,   AttentionSpec::QkNorm::kNone};
  ValueId h = layers::modulate(b, norm("norm1.weight"), parts[0], parts[1]);
  x = b.add(x, b.mul(parts[2], layers::attention(b, "attn", h, h, self)));

  AttentionSpec cross = self;
  cross.cos = cross.sin = kNone;
  cross.key_length = s.context_length;
  x = b.add(x, layers::attention(b, "cross", norm("cross_norm.weight"), s.context, cross));

  h = layers::modulate(b, norm("norm2.weight"), parts[3], parts[4]);
  if (s.gated) {
    h = layers::swiglu(b, "ffn", h, s.width, s.ffn);
  } else {
    const auto scope = b.scope("ffn");
    h = b.linear("down", b.gelu_tanh(b.linear("up", h, s.width, s.ffn, false)), s.ffn, s.width,
                 false);
  }
  return b.add(x, b.mul(parts[5], h));
}

ValueId head(Builder& b, ValueId x, const Time& time, const Dim& batch, int64_t width,
             int64_t channels, double epsilon) {
  const auto scope = b.scope("head");
  const ValueId m =
      b.add(b.reshape(time.embedding, {batch, 1, width}), b.weight("modulation", {2, width}));
  const std::vector<ValueId> parts = b.split(m, 1, 1, 2);
  const ValueId y = b.rms_norm(x, b.weight("norm.weight", {width}), epsilon);
  return b.linear("out", layers::modulate(b, y, parts[0], parts[1]), width, channels, false);
}

}  // namespace zoetrope::moviegen
