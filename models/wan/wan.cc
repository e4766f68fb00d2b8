#include "models/wan/wan.h"

#include "models/layers.h"

namespace zoetrope {
namespace {

using layers::AttentionSpec;

class WanBuilder {
 public:
  explicit WanBuilder(const WanConfig& config) : c_(config), b_("dit") {}

  Result<Graph> build() {
    ZT_RETURN_IF_ERROR(check());
    const ValueId video =
        b_.input("video", DType::kF32, {batch_, frames_, height_, width_, c_.channels});
    const ValueId time = b_.input("time", DType::kF32, {batch_}, Rate::kTimestep);
    const ValueId text =
        b_.input("text", DType::kF32, {batch_, text_length_, c_.text_width}, Rate::kClip);
    rope_ = layers::grid_rope(b_, {frames_, rows_, columns_}, c_.width / c_.heads, 10000);
    x_ = layers::patchify(b_, "patch_embedding", video, {batch_, frames_, height_, width_},
                          c_.channels, c_.width, {1, 2, 2});
    context_ = b_.linear("text_embedding.2",
                         b_.gelu_tanh(b_.linear("text_embedding.0", text, c_.text_width, c_.width)),
                         c_.width, c_.width);
    embed_time(time);
    for (int64_t i = 0; i < c_.layers; ++i) block(i);
    finish();
    return b_.finish();
  }

 private:
  Status check() const {
    if (c_.layers < 1 || c_.width < 1 || c_.ffn < 1 || c_.channels < 1 || c_.text_width < 1)
      return error(Code::kInvalidArgument, "a Wan transformer with a size of zero");
    if (c_.heads < 1 || c_.width % c_.heads != 0 || c_.width / c_.heads % 2 != 0 ||
        c_.width / c_.heads < 6)
      return error(Code::kInvalidArgument, "width ", c_.width, " in ", c_.heads,
                   " heads: each must have an even number of channels, 6 at least, for positions "
                   "of three axes");
    if (c_.time_features < 2 || c_.time_features % 2 != 0)
      return error(Code::kInvalidArgument, "time features must be an even number from 2; found ",
                   c_.time_features);
    return Status();
  }

  void embed_time(ValueId time) {
    const ValueId features =
        layers::timestep_features(b_, time, batch_, c_.time_features, 10000, 1000);
    embedding_ =
        b_.linear("time_embedding.2",
                  b_.silu(b_.linear("time_embedding.0", features, c_.time_features, c_.width)),
                  c_.width, c_.width);
    modulation_ =
        b_.reshape(b_.linear("time_projection.1", b_.silu(embedding_), c_.width, 6 * c_.width),
                   {batch_, 6, c_.width});
  }

  ValueId plain_norm() { return b_.layer_norm(x_, kNone, kNone, c_.epsilon); }

  void block(int64_t index) {
    const auto scope = b_.scope("blocks." + std::to_string(index));
    const ValueId m = b_.add(modulation_, b_.weight("modulation", {1, 6, c_.width}));
    const std::vector<ValueId> parts = b_.split(m, 1, 1, 6);

    AttentionSpec self{
        c_.width,  c_.width / c_.heads,
        c_.width,  c_.epsilon,
        rope_.cos, rope_.sin,
        kNone,     tokens_,
        tokens_,   c_.qk_norm ? AttentionSpec::QkNorm::kFullWidth : AttentionSpec::QkNorm::kNone,
        true,      "norm_q",
        "norm_k"};
    ValueId h = layers::modulate(b_, plain_norm(), parts[0], parts[1]);
    x_ = b_.add(x_, b_.mul(layers::attention(b_, "self_attn", h, h, self), parts[2]));

    AttentionSpec cross = self;
    cross.cos = cross.sin = kNone;
    cross.key_length = text_length_;
    h = x_;
    if (c_.cross_attention_norm)
      h = b_.layer_norm(x_, b_.weight("norm3.weight", {c_.width}),
                        b_.weight("norm3.bias", {c_.width}), c_.epsilon);
    x_ = b_.add(x_, layers::attention(b_, "cross_attn", h, context_, cross));

    h = layers::modulate(b_, plain_norm(), parts[3], parts[4]);
    h = b_.linear("ffn.2", b_.gelu_tanh(b_.linear("ffn.0", h, c_.width, c_.ffn)), c_.ffn, c_.width);
    x_ = b_.add(x_, b_.mul(h, parts[5]));
  }

  void finish() {
    const auto scope = b_.scope("head");
    const ValueId m = b_.add(b_.reshape(embedding_, {batch_, 1, c_.width}),
                             b_.weight("modulation", {1, 2, c_.width}));
    const std::vector<ValueId> parts = b_.split(m, 1, 1, 2);
    const ValueId y = b_.linear("head", layers::modulate(b_, plain_norm(), parts[0], parts[1]),
                                c_.width, 4 * c_.channels);
    b_.output("video_velocity", layers::unpatchify(b_, y, batch_, {frames_, rows_, columns_},
                                                   c_.channels, {1, 2, 2}));
  }

  const WanConfig& c_;
  Builder b_;
  const Dim batch_ = Dim::symbol("batch"), frames_ = Dim::symbol("frames");
  const Dim height_ = Dim::symbol("height"), width_ = Dim::symbol("width");
  const Dim text_length_ = Dim::symbol("text_length");
  const Dim rows_ = floor_div(height_, 2), columns_ = floor_div(width_, 2);
  const Dim tokens_ = frames_ * rows_ * columns_;
  ValueId x_ = kNone, context_ = kNone;
  layers::RopeTables rope_{kNone, kNone};
  ValueId embedding_ = kNone, modulation_ = kNone;
};

}  // namespace

Result<Graph> build_wan_dit(const WanConfig& config) { return WanBuilder(config).build(); }

}  // namespace zoetrope
