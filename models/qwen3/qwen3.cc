#include "models/qwen3/qwen3.h"

#include <string>

#include "models/text_decoder.h"

namespace zoetrope {
namespace {

class Qwen3Builder {
 public:
  explicit Qwen3Builder(const Qwen3Config& config) : c_(config), b_("text_encoder") {}

  Result<Graph> build() {
    ZT_RETURN_IF_ERROR(check_text_decoder(
        "a Qwen3", {c_.vocabulary, c_.width, c_.layers, c_.ffn, c_.heads, c_.key_heads}, c_.heads,
        c_.key_heads, c_.head_dim));
    const ValueId ids = b_.input("ids", DType::kI32, {batch_, length_}, Rate::kClip);
    lengths_ = b_.input("lengths", DType::kI32, {batch_}, Rate::kClip);
    const int64_t pairs = c_.head_dim / 2;
    rope_ = text_.rope(layers::rope_frequencies(b_, pairs, c_.theta), pairs);
    ValueId x = b_.gather(b_.weight("embed_tokens.weight", {c_.vocabulary, c_.width}), ids);
    for (int64_t i = 0; i < c_.layers; ++i) x = layer(x, i);
    b_.output("text", x);
    return b_.finish();
  }

 private:
  ValueId attention(ValueId h) {
    const auto scope = b_.scope("self_attn");
    const auto heads = [&](std::string_view name, int64_t count) {
      return text_.heads(name, h, count, c_.head_dim);
    };
    const ValueId q = text_.rotated("q_norm", heads("q_proj", c_.heads), c_.head_dim, rope_);
    const ValueId k = text_.rotated("k_norm", heads("k_proj", c_.key_heads), c_.head_dim, rope_);
    const ValueId y = b_.attention(q, k, heads("v_proj", c_.key_heads), lengths_, kNone, 0, true);
    return text_.joined(y, c_.heads, c_.head_dim);
  }

  ValueId layer(ValueId x, int64_t index) {
    const auto scope = b_.scope("layers." + std::to_string(index));
    x = b_.add(x, attention(text_.norm("input_layernorm", x, c_.width)));
    const ValueId h = text_.norm("post_attention_layernorm", x, c_.width);
    return b_.op(OpKind::kAdd, {x, text_.feed_forward(h, OpKind::kSilu)}, {}, "output");
  }

  const Qwen3Config& c_;
  Builder b_;
  const Dim batch_ = Dim::symbol("batch"), length_ = Dim::symbol("text_length");
  TextDecoder text_{b_, {.width = c_.width, .ffn = c_.ffn, .epsilon = c_.epsilon}, batch_, length_};
  ValueId lengths_ = kNone;
  layers::RopeTables rope_{kNone, kNone};
};

}  // namespace

Qwen3Config qwen3_vl_32b() { return {}; }

Result<Graph> build_qwen3_text_encoder(const Qwen3Config& config) {
  return Qwen3Builder(config).build();
}

}  // namespace zoetrope
