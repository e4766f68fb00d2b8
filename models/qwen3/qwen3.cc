#include "models/qwen3/qwen3.h"

#include <string>
#include <vector>

#include "models/text_decoder.h"

namespace zoetrope {
namespace {

class Qwen3Builder {
 public:
  Qwen3Builder(const Qwen3Config& config, bool sees)
      : c_(config), sees_(sees), b_(sees ? "text_seeing" : "text_encoder") {}

  Result<Graph> build() {
    ZT_RETURN_IF_ERROR(check_text_decoder(
        "a Qwen3", {c_.vocabulary, c_.width, c_.layers, c_.ffn, c_.heads, c_.key_heads}, c_.heads,
        c_.key_heads, c_.head_dim));
    const ValueId ids = b_.input("ids", DType::kI32, {batch_, length_}, Rate::kClip);
    lengths_ = b_.input("lengths", DType::kI32, {batch_}, Rate::kClip);
    ValueId x = b_.gather(b_.weight("embed_tokens.weight", {c_.vocabulary, c_.width}), ids);
    if (sees_) {
      x = look(x);
    } else {
      rope_ = text_.rope(frequencies(), pairs());
    }
    for (int64_t i = 0; i < c_.layers; ++i) x = layer(x, i);
    b_.output("text", x);
    return b_.finish();
  }

 private:
  int64_t pairs() const { return c_.head_dim / 2; }
  ValueId frequencies() { return layers::rope_frequencies(b_, pairs(), c_.theta); }

  // Places of pictures in place of ids; and positions.
  ValueId look(ValueId words) {
    const Dim places = Dim::symbol("places");
    const int64_t all = (1 + c_.deep) * c_.width;
    const ValueId features = b_.input("features", DType::kF32, {1, places, all}, Rate::kClip);
    const ValueId reads = b_.input("reads", DType::kI32, {batch_, length_}, Rate::kClip);
    const ValueId positions = b_.input("positions", DType::kF32, {batch_, length_, 3}, Rate::kClip);
    const ValueId table = b_.concat({b_.fill(0, {1, all}), b_.reshape(features, {places, all})}, 0);
    seen_ = b_.split(b_.gather(table, reads), 2, c_.width, 1 + c_.deep);
    const ValueId word =
        b_.sub(b_.scalar(1), b_.op(OpKind::kMin, {b_.cast(reads, DType::kF32), b_.scalar(1)}));
    const ValueId angles =
        b_.reshape(b_.mul(turns(positions), b_.reshape(frequencies(), {1, 1, pairs()})),
                   {batch_, length_, 1, pairs()});
    rope_ = {b_.cos(angles), b_.sin(angles)};
    return b_.add(b_.mul(words, b_.reshape(word, {batch_, length_, 1})), seen_[0]);
  }

  // The position by which each frequency turns: [batch, length, pairs]. Of every three frequencies
  // the second is of rows and the third of columns, as long as there are any.
  ValueId turns(ValueId positions) {
    const ValueId j = b_.iota(pairs());
    const ValueId third =
        b_.sub(j, b_.mul(b_.unary(OpKind::kFloor, b_.div(j, b_.scalar(3))), b_.scalar(3)));
    const ValueId less = b_.sub(third, b_.scalar(1));  // -1, 0, 1
    const auto below = [&](int64_t count) {
      const ValueId left = b_.sub(b_.scalar(3 * static_cast<double>(count)), j);
      return b_.op(OpKind::kMax, {b_.op(OpKind::kMin, {left, b_.scalar(1)}), b_.scalar(0)});
    };
    const ValueId row = b_.mul(b_.sub(b_.scalar(1), b_.mul(less, less)), below(c_.row_turns));
    const ValueId column =
        b_.mul(b_.mul(b_.mul(third, less), b_.scalar(0.5)), below(c_.column_turns));
    const ValueId time = b_.sub(b_.sub(b_.scalar(1), row), column);
    const ValueId shares[] = {time, row, column};
    ValueId sum = kNone;
    for (int64_t axis = 0; axis < 3; ++axis) {
      const ValueId part =
          b_.mul(b_.slice(positions, 2, axis, axis + 1), b_.reshape(shares[axis], {1, 1, pairs()}));
      sum = sum == kNone ? part : b_.add(sum, part);
    }
    return sum;
  }

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
    const bool adds = sees_ && index < c_.deep;
    x = b_.op(OpKind::kAdd, {x, text_.feed_forward(h, OpKind::kSilu)}, {}, adds ? "" : "output");
    if (!adds) return x;
    return b_.op(OpKind::kAdd, {x, seen_[static_cast<size_t>(index + 1)]}, {}, "output");
  }

  const Qwen3Config& c_;
  const bool sees_;
  Builder b_;
  const Dim batch_ = Dim::symbol("batch"), length_ = Dim::symbol("text_length");
  TextDecoder text_{b_, {.width = c_.width, .ffn = c_.ffn, .epsilon = c_.epsilon}, batch_, length_};
  ValueId lengths_ = kNone;
  std::vector<ValueId> seen_;  // of each id what is read there, and what layers add
  layers::RopeTables rope_{kNone, kNone};
};

}  // namespace

Qwen3Config qwen3_vl_32b() { return {}; }

Result<Graph> build_qwen3_text_encoder(const Qwen3Config& config) {
  return Qwen3Builder(config, false).build();
}
Result<Graph> build_qwen3_text_seeing(const Qwen3Config& config) {
  return Qwen3Builder(config, true).build();
}

}  // namespace zoetrope
