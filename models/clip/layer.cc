#include "models/clip/layer.h"

namespace zoetrope {
namespace {

ValueId attention(const ClipLayers& c, ValueId x) {
  const auto scope = c.b.scope("self_attn");
  std::vector<ValueId> heads;
  for (const ValueId part : c.b.split(c.b.linear("qkv", x, c.width, 3 * c.width), -1, c.width, 3))
    heads.push_back(c.b.reshape(part, {c.batch, c.tokens, c.heads, c.width / c.heads}));
  return c.b.linear(
      "out_proj",
      c.b.reshape(c.b.attention(heads[0], heads[1], heads[2], kNone, kNone, 0, c.causal),
                  {c.batch, c.tokens, c.width}),
      c.width, c.width);
}

ValueId activate(const ClipLayers& c, ValueId x) {
  if (c.activation == ClipVisionConfig::Activation::kGelu) return c.b.unary(OpKind::kGelu, x);
  return c.b.mul(x, c.b.unary(OpKind::kSigmoid, c.b.mul(x, c.b.scalar(1.702))));
}

}  // namespace

ValueId ClipLayers::norm(std::string_view name, ValueId x) const {
  const auto scope = b.scope(name);
  return b.layer_norm(x, b.weight("weight", {width}), b.weight("bias", {width}), epsilon);
}

ValueId ClipLayers::layer(ValueId x, int64_t index) const {
  const auto scope = b.scope("encoder.layers." + std::to_string(index));
  x = b.add(x, attention(*this, norm("layer_norm1", x)));
  const ValueId h = b.linear("mlp.fc1", norm("layer_norm2", x), width, ffn);
  const ValueId y = b.linear("mlp.fc2", activate(*this, h), ffn, width);
  return b.op(OpKind::kAdd, {x, y}, {}, "output");
}

}  // namespace zoetrope
