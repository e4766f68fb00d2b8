#include "models/toybox/layers.h"

#include <cmath>

namespace zoetrope::toybox {

ValueId swiglu(Builder& b, std::string_view name, ValueId x, int64_t width, int64_t hidden) {
  const auto scope = b.scope(name);
  const ValueId gate = b.silu(b.linear("gate", x, width, hidden, false));
  return b.linear("down", b.mul(gate, b.linear("up", x, width, hidden, false)), hidden, width, false);
}

ValueId attention(Builder& b, std::string_view name, ValueId x, ValueId context,
                  const AttentionSpec& spec) {
  const auto scope = b.scope(name);
  const Dim batch = Dim::symbol("batch");
  const int64_t heads = spec.width / spec.head_dim;
  const auto split_heads = [&](ValueId value, const Dim& length) {
    return b.reshape(value, {batch, length, heads, spec.head_dim});
  };
  const auto normalized = [&](const char* which, ValueId value) {
    const ValueId weight = b.weight(std::string(which) + "_norm.weight", {spec.head_dim});
    const ValueId y = b.rms_norm(value, weight, spec.epsilon);
    return spec.cos == kNone ? y : b.rope(y, spec.cos, spec.sin, "interleaved");
  };
  const ValueId q = split_heads(b.linear("q", x, spec.width, spec.width, false), spec.query_length);
  const ValueId k =
      split_heads(b.linear("k", context, spec.context_width, spec.width, false), spec.key_length);
  const ValueId v =
      split_heads(b.linear("v", context, spec.context_width, spec.width, false), spec.key_length);
  const ValueId y =
      b.attention(normalized("q", q), normalized("k", k), v, spec.key_lengths);
  return b.linear("o", b.reshape(y, {batch, spec.query_length, spec.width}), spec.width, spec.width,
                  false);
}

ValueId rope_frequencies(Builder& b, int64_t pairs, double theta) {
  const double step = -std::log(theta) / static_cast<double>(pairs);
  return b.exp(b.iota(pairs, 0, step));
}

ValueId outer(Builder& b, ValueId positions, ValueId frequencies, Dim length, int64_t pairs) {
  return b.mul(b.reshape(positions, {std::move(length), 1}), b.reshape(frequencies, {1, pairs}));
}

}  // namespace zoetrope::toybox
