#include "models/clip/clip_text.h"

#include "models/clip/layer.h"

namespace zoetrope {
namespace {

constexpr int64_t kMostPositions = 256;  // all whole numbers up to it are exact in bf16

class ClipTextBuilder {
 public:
  explicit ClipTextBuilder(const ClipTextConfig& config) : c_(config), b_("text_encoder") {}

  Result<Graph> build() {
    ZT_RETURN_IF_ERROR(check());
    const ValueId ids = b_.input("ids", DType::kI32, {batch_, length_}, Rate::kClip);
    ValueId x = embed(ids);
    ValueId text = kNone;
    for (int64_t i = 0; i < c_.layers; ++i) {
      if (i == c_.layers - c_.left_out) text = x;
      x = layers_.layer(x, i);
    }
    const ValueId last = layers_.norm("final_layer_norm", x);
    b_.output("text", c_.left_out > 0 ? text : last);
    b_.output("pooled", pool(ids, last));
    return b_.finish();
  }

 private:
  Status check() const {
    for (const int64_t size :
         {c_.vocabulary, c_.positions, c_.width, c_.layers, c_.heads, c_.ffn, c_.projection + 1})
      if (size < 1 || size > 1 << 24)
        return error(Code::kInvalidArgument, "a text tower with a size of ", size);
    if (c_.positions > kMostPositions)
      return error(Code::kUnsupported, "a text tower with ", c_.positions, " positions; at most ",
                   kMostPositions);
    if (c_.width % c_.heads != 0)
      return error(Code::kInvalidArgument, "a text tower's ", c_.heads,
                   " heads must divide its width ", c_.width);
    if (c_.left_out < 0 || c_.left_out >= c_.layers)
      return error(Code::kInvalidArgument, "of ", c_.layers, " layers ", c_.left_out,
                   " cannot be left out");
    if (c_.eos < 0 || c_.eos >= c_.vocabulary)
      return error(Code::kInvalidArgument, "the end of the text, ", c_.eos, ", is none of ",
                   c_.vocabulary, " ids");
    return Status();
  }

  // Texts longer than there are positions do not bind.
  ValueId embed(ValueId ids) {
    const auto scope = b_.scope("embeddings");
    const ValueId words =
        b_.gather(b_.weight("token_embedding.weight", {c_.vocabulary, c_.width}), ids);
    const ValueId places =
        b_.slice(b_.weight("position_embedding.weight", {c_.positions, c_.width}), 0, 0, length_);
    return b_.add(words, places);
  }

  // The row of the first eos: where the number of places that are left is the largest among those.
  ValueId pool(ValueId ids, ValueId x) {
    const ValueId is_eos = b_.cast(
        b_.op(OpKind::kEqual, {ids, b_.fill(static_cast<double>(c_.eos), {1, 1}, DType::kI32)}),
        DType::kF32);
    const ValueId places =
        b_.reshape(b_.iota(length_, static_cast<double>(c_.positions), -1), {1, length_});
    const ValueId score = b_.mul(is_eos, places);
    const ValueId best = b_.reduce(OpKind::kReduceMax, score, {1}, /*keep_dims=*/true);
    const ValueId chosen = b_.cast(b_.op(OpKind::kEqual, {score, best}), DType::kF32);
    const ValueId row =
        b_.reshape(b_.matmul(b_.reshape(chosen, {batch_, 1, length_}), x), {batch_, c_.width});
    if (c_.projection == 0) return row;
    return b_.linear("text_projection", row, c_.width, c_.projection, /*has_bias=*/false);
  }

  const ClipTextConfig& c_;
  Builder b_;
  const Dim batch_ = Dim::symbol("batch"), length_ = Dim::symbol("text_length");
  const ClipLayers layers_{b_,   c_.width, c_.heads, c_.ffn, c_.epsilon, c_.activation,
                           true, batch_,   length_};
};

}  // namespace

Result<Graph> build_clip_text(const ClipTextConfig& config) {
  return ClipTextBuilder(config).build();
}

}  // namespace zoetrope
