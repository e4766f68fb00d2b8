#include "models/ltx2/attention.h"

namespace zoetrope::ltx2 {

ValueId attention(Builder& b, std::string_view name, ValueId x, const Dim& length, ValueId context,
                  const Dim& keys, const Attention& s) {
  const auto scope = b.scope(name);
  const int64_t inner = s.heads * s.head_dim;
  const auto heads = [&](ValueId y, const Dim& n) {
    return b.reshape(y, {s.batch, n, s.heads, s.head_dim});
  };
  const auto project = [&](const std::string& which, ValueId from, int64_t in, const Dim& n,
                           const layers::RopeTables& tables) {
    const ValueId y = heads(b.rms_norm(b.linear("to_" + which, from, in, inner, s.bias),
                                       b.weight("norm_" + which + ".weight", {inner}), s.epsilon),
                            n);
    return tables.cos == kNone
               ? y
               : b.rope(y, tables.cos, tables.sin, s.split_rope ? "split" : "interleaved");
  };
  const ValueId q = project("q", x, s.width, length, s.query);
  const ValueId k = project("k", context, s.context_width, keys, s.key);
  const ValueId v = heads(b.linear("to_v", context, s.context_width, inner, s.bias), keys);
  ValueId y = b.attention(q, k, v);
  if (s.skipped != kNone) y = b.select(s.skipped, v, y);
  if (s.gated) {
    const ValueId gate = b.unary(OpKind::kSigmoid, b.linear("to_gate_logits", x, s.width, s.heads));
    y = b.mul(y, b.reshape(b.mul(gate, b.scalar(2)), {s.batch, length, s.heads, 1}));
  }
  return b.linear("to_out.0", b.reshape(y, {s.batch, length, inner}), inner, s.width, s.out_bias);
}

}  // namespace zoetrope::ltx2
