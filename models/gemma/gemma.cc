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
    rope_ = tables(c_.theta, c_.position_divisor);
    sliding_rope_ = tables(c_.sliding_theta, c_.sliding_position_divisor);
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
  // Every norm multiplies by one more than its weight.
  ValueId norm(std::string_view name, ValueId x, int64_t width) {
    const ValueId weight = b_.weight(std::string(name) + ".weight", {width});
    return b_.rms_norm(x, b_.add(weight, b_.scalar(1)), c_.epsilon);
  }

  layers::RopeTables tables(double theta, double divisor) {
    const int64_t pairs = c_.head_dim / 2;
    ValueId frequencies = layers::rope_frequencies(b_, pairs, theta);
    if (divisor != 1) frequencies = b_.div(frequencies, b_.scalar(divisor));
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
    const auto heads = [&](std::string_view name, int64_t count) {
      return b_.reshape(b_.linear(name, h, c_.width, count * c_.head_dim, false),
                        {batch_, length_, count, c_.head_dim});
    };
    const layers::RopeTables& rope = slides ? sliding_rope_ : rope_;
    const auto turned = [&](std::string_view name, ValueId x) {
      return b_.rope(norm(name, x, c_.head_dim), rope.cos, rope.sin, "split");
    };
    const ValueId q = turned("q_norm", heads("q_proj", c_.heads));
    const ValueId k = turned("k_norm", heads("k_proj", c_.key_heads));
    const ValueId y =
        b_.attention(q, k, heads("v_proj", c_.key_heads), lengths_, slides ? window_mask() : kNone,
                     1 / std::sqrt(c_.score_scale), true);
    return b_.linear("o_proj", b_.reshape(y, {batch_, length_, c_.heads * c_.head_dim}),
                     c_.heads * c_.head_dim, c_.width, false);
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
    const ValueId y = feed_forward(norm("pre_feedforward_layernorm", x, c_.width));
    return b_.op(OpKind::kAdd, {x, norm("post_feedforward_layernorm", y, c_.width)}, {}, "output");
  }

  Builder& b_;
  const GemmaConfig& c_;
  const ValueId lengths_;
  const Dim batch_, length_;
  layers::RopeTables rope_{kNone, kNone}, sliding_rope_{kNone, kNone};
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
