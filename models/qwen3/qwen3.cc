#include "models/qwen3/qwen3.h"

#include <string>
#include <vector>

#include "models/layers.h"

namespace zoetrope {
namespace {

class Qwen3Builder {
 public:
  explicit Qwen3Builder(const Qwen3Config& config) : c_(config), b_("text_encoder") {}

  Result<Graph> build() {
    ZT_RETURN_IF_ERROR(check());
    const ValueId ids = b_.input("ids", DType::kI32, {batch_, length_}, Rate::kClip);
    lengths_ = b_.input("lengths", DType::kI32, {batch_}, Rate::kClip);
    const int64_t pairs = c_.head_dim / 2;
    const ValueId angles = layers::outer(
        b_, b_.iota(length_), layers::rope_frequencies(b_, pairs, c_.theta), length_, pairs);
    const std::vector<Dim> shape{1, length_, 1, pairs};
    rope_ = {b_.reshape(b_.cos(angles), shape), b_.reshape(b_.sin(angles), shape)};
    ValueId x = b_.gather(b_.weight("embed_tokens.weight", {c_.vocabulary, c_.width}), ids);
    for (int64_t i = 0; i < c_.layers; ++i) x = layer(x, i);
    b_.output("text", x);
    return b_.finish();
  }

 private:
  Status check() const {
    for (const int64_t size : {c_.vocabulary, c_.width, c_.layers, c_.ffn, c_.heads, c_.key_heads})
      if (size < 1 || size > 1 << 24)
        return error(Code::kInvalidArgument, "a Qwen3 with a size of ", size);
    if (c_.heads % c_.key_heads != 0 || c_.head_dim < 2 || c_.head_dim % 2 != 0)
      return error(Code::kInvalidArgument, "a Qwen3 with ", c_.heads, " heads of ", c_.head_dim,
                   " channels over ", c_.key_heads,
                   " heads of keys: expected a multiple, and an even number of channels");
    return Status();
  }

  ValueId norm(std::string_view name, ValueId x, int64_t width) {
    return b_.rms_norm(x, b_.weight(std::string(name) + ".weight", {width}), c_.epsilon);
  }

  ValueId attention(ValueId h) {
    const auto scope = b_.scope("self_attn");
    const auto heads = [&](std::string_view name, int64_t count) {
      return b_.reshape(b_.linear(name, h, c_.width, count * c_.head_dim, false),
                        {batch_, length_, count, c_.head_dim});
    };
    const auto turned = [&](std::string_view name, ValueId x) {
      return b_.rope(norm(name, x, c_.head_dim), rope_.cos, rope_.sin, "split");
    };
    const ValueId q = turned("q_norm", heads("q_proj", c_.heads));
    const ValueId k = turned("k_norm", heads("k_proj", c_.key_heads));
    const ValueId y = b_.attention(q, k, heads("v_proj", c_.key_heads), lengths_, kNone, 0, true);
    const int64_t inner = c_.heads * c_.head_dim;
    return b_.linear("o_proj", b_.reshape(y, {batch_, length_, inner}), inner, c_.width, false);
  }

  ValueId feed_forward(ValueId h) {
    const auto scope = b_.scope("mlp");
    const ValueId gate = b_.silu(b_.linear("gate_proj", h, c_.width, c_.ffn, false));
    return b_.linear("down_proj", b_.mul(gate, b_.linear("up_proj", h, c_.width, c_.ffn, false)),
                     c_.ffn, c_.width, false);
  }

  ValueId layer(ValueId x, int64_t index) {
    const auto scope = b_.scope("layers." + std::to_string(index));
    x = b_.add(x, attention(norm("input_layernorm", x, c_.width)));
    const ValueId y = feed_forward(norm("post_attention_layernorm", x, c_.width));
    return b_.op(OpKind::kAdd, {x, y}, {}, "output");
  }

  const Qwen3Config& c_;
  Builder b_;
  const Dim batch_ = Dim::symbol("batch"), length_ = Dim::symbol("text_length");
  ValueId lengths_ = kNone;
  layers::RopeTables rope_{kNone, kNone};
};

}  // namespace

Qwen3Config qwen3_vl_32b() { return {}; }

Result<Graph> build_qwen3_text_encoder(const Qwen3Config& config) {
  return Qwen3Builder(config).build();
}

}  // namespace zoetrope
