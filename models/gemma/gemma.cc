#include "models/gemma/gemma.h"

#include <cmath>
#include <string>

#include "models/text_decoder.h"

namespace zoetrope {
namespace {

class Gemma {
 public:
  Gemma(Builder& b, const GemmaConfig& config, ValueId lengths, Dim batch, Dim length)
      : b_(b),
        c_(config),
        text_(b,
              {.width = config.width,
               .ffn = config.ffn,
               .epsilon = config.epsilon,
               .norm_offset = config.fourth ? 0.0 : 1.0},
              std::move(batch), length),
        lengths_(lengths),
        length_(std::move(length)) {
    full_.head_dim = c_.full_head_dim > 0 ? c_.full_head_dim : c_.head_dim;
    full_.key_heads = c_.full_key_heads > 0 ? c_.full_key_heads : c_.key_heads;
    full_.values_are_keys = c_.values_are_keys;
    full_.rope =
        tables(full_.head_dim / 2, c_.theta, c_.position_divisor, c_.partial_rotary_factor);
    sliding_.rope = tables(c_.head_dim / 2, c_.sliding_theta, c_.sliding_position_divisor, 1);
  }

  std::vector<ValueId> states(ValueId ids) {
    const ValueId table = b_.weight("embed_tokens.weight", {c_.vocabulary, c_.width});
    ValueId x = b_.mul(b_.gather(table, ids), b_.scalar(std::sqrt(static_cast<double>(c_.width))));
    std::vector<ValueId> all{x};
    for (int64_t i = 0; i < c_.layers; ++i) all.push_back(x = layer(x, i));
    all.back() = norm("norm", x);
    return all;
  }

 private:
  // What a layer's attention is like.
  struct Kind {
    int64_t head_dim, key_heads;
    bool values_are_keys = false;
    layers::RopeTables rope{kNone, kNone};
  };

  ValueId norm(std::string_view name, ValueId x) { return text_.norm(name, x, c_.width); }

  layers::RopeTables tables(int64_t pairs, double theta, double divisor, double rotary_factor) {
    ValueId frequencies = layers::rope_frequencies(b_, pairs, theta);
    if (divisor != 1) frequencies = b_.div(frequencies, b_.scalar(divisor));
    const auto rotary = static_cast<int64_t>(rotary_factor * static_cast<double>(pairs));
    if (rotary < pairs)
      frequencies = b_.pad(b_.slice(frequencies, 0, 0, rotary), {0}, {pairs - rotary});
    return text_.rope(frequencies, pairs);
  }

  // Added to the scores: nothing within the window, far below everything beyond. [1, 1, N, N]
  ValueId window_mask() {
    if (mask_ != kNone) return mask_;
    const ValueId places = b_.iota(length_);
    const ValueId back = b_.sub(b_.reshape(places, {length_, 1}), b_.reshape(places, {1, length_}));
    const ValueId near = b_.op(OpKind::kLess, {back, b_.scalar(static_cast<double>(c_.window))});
    mask_ = b_.reshape(b_.select(near, b_.scalar(0), b_.scalar(-1e9)), {1, 1, length_, length_});
    return mask_;
  }

  ValueId attention(ValueId h, bool slides) {
    const auto scope = b_.scope("self_attn");
    const Kind& kind = slides ? sliding_ : full_;
    const auto heads = [&](std::string_view name, int64_t count) {
      return text_.heads(name, h, count, kind.head_dim);
    };
    const auto rotated = [&](std::string_view name, ValueId x) {
      return text_.rotated(name, x, kind.head_dim, kind.rope);
    };
    const ValueId q = rotated("q_norm", heads("q_proj", c_.heads));
    const ValueId keys = heads("k_proj", kind.key_heads);
    ValueId values = kind.values_are_keys ? keys : heads("v_proj", kind.key_heads);
    if (c_.fourth) values = b_.rms_norm(values, kNone, c_.epsilon);
    const double scale = c_.fourth ? 1 : 1 / std::sqrt(c_.score_scale);
    const ValueId y = b_.attention(q, rotated("k_norm", keys), values, lengths_,
                                   slides ? window_mask() : kNone, scale, true);
    return text_.joined(y, c_.heads, kind.head_dim);
  }

  ValueId layer(ValueId x, int64_t index) {
    const auto scope = b_.scope("layers." + std::to_string(index));
    const ValueId h = attention(norm("input_layernorm", x), c_.slides(index));
    x = b_.add(x, norm("post_attention_layernorm", h));
    ValueId y = text_.feed_forward(norm("pre_feedforward_layernorm", x), OpKind::kGeluTanh);
    y = norm("post_feedforward_layernorm", y);
    if (!c_.fourth) return b_.op(OpKind::kAdd, {x, y}, {}, "output");
    return b_.op(OpKind::kMul, {b_.add(x, y), b_.weight("layer_scalar", {1})}, {}, "output");
  }

  Builder& b_;
  const GemmaConfig& c_;
  TextDecoder text_;
  const ValueId lengths_;
  const Dim length_;
  Kind full_{0, 0}, sliding_{c_.head_dim, c_.key_heads};
  ValueId mask_ = kNone;
};

}  // namespace

Status check_gemma(const GemmaConfig& c) {
  ZT_RETURN_IF_ERROR(check_text_decoder(
      "a Gemma", {c.vocabulary, c.width, c.layers, c.ffn, c.heads, c.key_heads, c.window}, c.heads,
      c.key_heads, c.head_dim));
  if ((c.full_key_heads > 0 && c.heads % c.full_key_heads != 0) || c.full_head_dim % 2 != 0 ||
      c.full_key_heads < 0 || c.full_head_dim < 0 ||
      !(c.partial_rotary_factor > 0 && c.partial_rotary_factor <= 1))
    return error(Code::kInvalidArgument, "a Gemma whose full layers have heads of ",
                 c.full_head_dim, " channels, a part of ", c.partial_rotary_factor,
                 " rotated, over ", c.full_key_heads, " heads of keys");
  if (!c.sliding.empty() && c.sliding.size() != static_cast<size_t>(c.layers))
    return error(Code::kInvalidArgument, "a Gemma of ", c.layers, " layers with kinds of ",
                 c.sliding.size());
  if (!(c.score_scale > 0) || !(c.position_divisor > 0) || !(c.sliding_position_divisor > 0))
    return error(Code::kInvalidArgument, "a Gemma whose scales are not positive");
  return Status();
}

std::vector<ValueId> gemma_hidden_states(Builder& b, const GemmaConfig& config, ValueId ids,
                                         ValueId lengths, const Dim& batch, const Dim& length) {
  return Gemma(b, config, lengths, batch, length).states(ids);
}

}  // namespace zoetrope
