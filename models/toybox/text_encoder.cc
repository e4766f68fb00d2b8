#include "models/layers.h"
#include "models/toybox/toybox.h"

namespace zoetrope {

Result<Graph> build_toybox_text_encoder(const ToyboxConfig::Text& c) {
  Builder b("text_encoder");
  const Dim batch = Dim::symbol("batch"), length = Dim::symbol("text_length");
  const ValueId ids = b.input("ids", DType::kI32, {batch, length}, Rate::kClip);
  const ValueId lengths = b.input("lengths", DType::kI32, {batch}, Rate::kClip);
  const ValueId angles =
      layers::outer(b, b.iota(length), layers::rope_frequencies(b, c.head_dim / 2, c.rope_theta),
                    length, c.head_dim / 2);
  layers::AttentionSpec spec{c.width, c.head_dim, c.width, c.norm_epsilon, kNone,
                             kNone,   lengths,    length,  length};
  spec.cos = b.reshape(b.cos(angles), {1, length, 1, c.head_dim / 2});
  spec.sin = b.reshape(b.sin(angles), {1, length, 1, c.head_dim / 2});

  const auto text = b.scope("text");
  ValueId x = b.gather(b.weight("embed.weight", {c.vocabulary_size, c.width}), ids);
  const int64_t pad = c.conv_kernel / 2;
  const ValueId conv =
      b.add(b.conv(x, b.weight("conv.weight", {c.width, c.conv_kernel, c.width}),
                   {.stride = {}, .dilation = {}, .pad_lo = {pad}, .pad_hi = {pad}}),
            b.weight("conv.bias", {c.width}));
  x = b.add(x, b.silu(conv));
  for (int64_t i = 0; i < c.layers; ++i) {
    const auto block = b.scope("blocks." + std::to_string(i));
    ValueId h = b.rms_norm(x, b.weight("norm1.weight", {c.width}), c.norm_epsilon);
    x = b.add(x, layers::attention(b, "attn", h, h, spec));
    h = b.rms_norm(x, b.weight("norm2.weight", {c.width}), c.norm_epsilon);
    x = b.add(x, layers::swiglu(b, "ffn", h, c.width, c.ffn));
  }
  b.output("text", b.rms_norm(x, b.weight("norm.weight", {c.width}), c.norm_epsilon));
  return b.finish();
}

}  // namespace zoetrope
