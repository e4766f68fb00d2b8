#include "models/gemma/gemma.h"

#include <cmath>
#include <string>

#include "models/layers.h"

namespace zoetrope {
namespace {

class Gemma {
 public:
  Gemma(Builder& b, const GemmaConfig& config, ValueId lengths, Dim batch, Dim length)
      : b_(b), c_(config), lengths_(lengths), batch_(std::move(batch)), length_(std::move(length)) {
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
    all.back() = norm("norm", x, c_.width);
    return all;
  }

 private:
  // What a layer's attention is like.
  struct Kind {
    int64_t head_dim, key_heads;
    bool values_are_keys = false;
    layers::RopeTables rope{kNone, kNone};
  };

  ValueId norm(std::string_view name, ValueId x, int64_t width) {
    const ValueId weight = b_.weight(std::string(name) + ".weight", {width});
    return b_.rms_norm(x, c_.fourth ? weight : b_.add(weight, b_.scalar(1)), c_.epsilon);
  }

  layers::RopeTables tables(int64_t pairs, double theta, double divisor, double turned) {
    ValueId frequencies = layers::rope_frequencies(b_, pairs, theta);
    if (divisor != 1) frequencies = b_.div(frequencies, b_.scalar(divisor));
    const auto turning = static_cast<int64_t>(turned * static_cast<double>(pairs));
    if (turning < pairs)
      frequencies = b_.pad(b_.slice(frequencies, 0, 0, turning), {0}, {pairs - turning});
    const ValueId angles = layers::outer(b_, b_.iota(length_), frequencies, length_, pairs);
    const std::vector<Dim> shape{1, length_, 1, pairs};
    return {b_.reshape(b_.cos(angles), shape), b_.reshape(b_.sin(angles), shape)};
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
      return b_.reshape(b_.linear(name, h, c_.width, count * kind.head_dim, false),
                        {batch_, length_, count, kind.head_dim});
    };
    const auto turned = [&](std::string_view name, ValueId x) {
      return b_.rope(norm(name, x, kind.head_dim), kind.rope.cos, kind.rope.sin, "split");
    };
    const ValueId q = turned("q_norm", heads("q_proj", c_.heads));
    const ValueId keys = heads("k_proj", kind.key_heads);
    ValueId values = kind.values_are_keys ? keys : heads("v_proj", kind.key_heads);
    if (c_.fourth) values = b_.rms_norm(values, kNone, c_.epsilon);
    const double scale = c_.fourth ? 1 : 1 / std::sqrt(c_.score_scale);
    const ValueId y = b_.attention(q, turned("k_norm", keys), values, lengths_,
                                   slides ? window_mask() : kNone, scale, true);
    const int64_t inner = c_.heads * kind.head_dim;
    return b_.linear("o_proj", b_.reshape(y, {batch_, length_, inner}), inner, c_.width, false);
  }

  ValueId feed_forward(ValueId h) {
    const auto scope = b_.scope("mlp");
    const ValueId gate = b_.gelu_tanh(b_.linear("gate_proj", h, c_.width, c_.ffn, false));
    return b_.linear("down_proj", b_.mul(gate, b_.linear("up_proj", h, c_.width, c_.ffn, false)),
                     c_.ffn, c_.width, false);
  }

  ValueId layer(ValueId x, int64_t index) {
    const auto scope = b_.scope("layers." + std::to_string(index));
    const ValueId h = attention(norm("input_layernorm", x, c_.width), c_.slides(index));
    x = b_.add(x, norm("post_attention_layernorm", h, c_.width));
    ValueId y = feed_forward(norm("pre_feedforward_layernorm", x, c_.width));
    y = norm("post_feedforward_layernorm", y, c_.width);
    if (!c_.fourth) return b_.op(OpKind::kAdd, {x, y}, {}, "output");
    return b_.op(OpKind::kMul, {b_.add(x, y), b_.weight("layer_scalar", {1})}, {}, "output");
  }

  Builder& b_;
  const GemmaConfig& c_;
  const ValueId lengths_;
  const Dim batch_, length_;
  Kind full_{0, 0}, sliding_{c_.head_dim, c_.key_heads};
  ValueId mask_ = kNone;
};

}  // namespace

Status check_gemma(const GemmaConfig& c) {
  for (const int64_t size :
       {c.vocabulary, c.width, c.layers, c.ffn, c.heads, c.key_heads, c.window})
    if (size < 1 || size > 1 << 24)
      return error(Code::kInvalidArgument, "a Gemma with a size of ", size);
  if (c.heads % c.key_heads != 0 || c.head_dim < 2 || c.head_dim % 2 != 0)
    return error(Code::kInvalidArgument, "a Gemma with ", c.heads, " heads of ", c.head_dim,
                 " channels over ", c.key_heads,
                 " heads of keys: expected a multiple, and an even number of channels");
  if ((c.full_key_heads > 0 && c.heads % c.full_key_heads != 0) || c.full_head_dim % 2 != 0 ||
      c.full_key_heads < 0 || c.full_head_dim < 0 ||
      !(c.partial_rotary_factor > 0 && c.partial_rotary_factor <= 1))
    return error(Code::kInvalidArgument, "a Gemma whose full layers have heads of ",
                 c.full_head_dim, " channels, a part of ", c.partial_rotary_factor,
                 " turned, over ", c.full_key_heads, " heads of keys");
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
