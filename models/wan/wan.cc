#include "models/wan/wan.h"

#include "models/layers.h"

namespace zoetrope {
namespace {

using layers::AttentionSpec;
using Conditioning = WanConfig::Conditioning;

constexpr double kImageEpsilon = 1e-5;  // of the norms around the picture's projection

class WanBuilder {
 public:
  explicit WanBuilder(const WanConfig& config) : c_(config), b_("dit") {}

  Result<Graph> build() {
    ZT_RETURN_IF_ERROR(check());
    const ValueId video = b_.input("video", DType::kF32, latents(c_.channels));
    const ValueId time = b_.input("time", DType::kF32, {batch_}, Rate::kTimestep);
    const ValueId text =
        b_.input("text", DType::kF32, {batch_, text_length_, c_.text_width}, Rate::kClip);
    rope_ = layers::grid_rope(b_, {frames_, rows_, columns_}, c_.width / c_.heads, 10000);
    const ValueId seen = condition(video);
    x_ = layers::patchify(b_, "patch_embedding", seen, {batch_, frames_, height_, width_},
                          c_.input_channels(), c_.width, {1, 2, 2});
    context_ = b_.linear("text_embedding.2",
                         b_.gelu_tanh(b_.linear("text_embedding.0", text, c_.text_width, c_.width)),
                         c_.width, c_.width);
    if (c_.image_width > 0) embed_image();
    embed_time(time);
    for (int64_t i = 0; i < c_.layers; ++i) block(i);
    const ValueId velocity = finish();
    b_.output("video_velocity", by_frame() ? towards_known(velocity, video, time) : velocity);
    return b_.finish();
  }

 private:
  Status check() const {
    if (c_.layers < 1 || c_.width < 1 || c_.ffn < 1 || c_.channels < 1 || c_.text_width < 1)
      return error(Code::kInvalidArgument, "a Wan transformer with a size of zero");
    if (c_.mask_channels < 1 || c_.image_width < 0 || c_.image_positions < 0 ||
        (c_.image_positions > 0 && c_.image_width == 0))
      return error(Code::kInvalidArgument, "a Wan transformer with ", c_.mask_channels,
                   " channels of mask, pictures of ", c_.image_width, " channels and ",
                   c_.image_positions, " positions");
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

  bool by_frame() const { return c_.conditioning == Conditioning::kFrames; }
  std::vector<Dim> latents(int64_t channels) const {
    return {batch_, frames_, height_, width_, channels};
  }

  // What the network sees of the video.
  ValueId condition(ValueId video) {
    if (c_.conditioning == Conditioning::kNone) return video;
    known_ = b_.input("known", DType::kF32, latents(c_.channels), Rate::kClip);
    mask_ = b_.input("known_mask", DType::kF32, latents(by_frame() ? 1 : c_.mask_channels),
                     Rate::kClip);
    if (!by_frame()) return b_.concat({video, mask_, known_}, -1);
    unknown_ = b_.sub(b_.scalar(1), mask_);
    return b_.add(b_.mul(known_, mask_), b_.mul(video, unknown_));
  }

  // A flow's velocity v at x and time t predicts the result x − t·v: known places predict what is
  // known, whatever the sampler.
  ValueId towards_known(ValueId velocity, ValueId video, ValueId time) {
    const ValueId t =
        b_.op(OpKind::kMax, {b_.reshape(time, {batch_, 1, 1, 1, 1}), b_.scalar(1e-4)});
    const ValueId back = b_.div(b_.sub(video, known_), t);
    return b_.add(b_.mul(back, mask_), b_.mul(velocity, unknown_));
  }

  // Features of the picture, in the transformer's width.
  void embed_image() {
    image_ = b_.input("image", DType::kF32, {batch_, image_length_, c_.image_width}, Rate::kClip);
    const auto scope = b_.scope("img_emb");
    const auto norm = [&](std::string_view name, ValueId x, int64_t width) {
      const auto inner = b_.scope(name);
      return b_.layer_norm(x, b_.weight("weight", {width}), b_.weight("bias", {width}),
                           kImageEpsilon);
    };
    if (c_.image_positions > 0)
      image_ = b_.add(image_, b_.weight("emb_pos", {1, c_.image_positions, c_.image_width}));
    const ValueId h =
        b_.linear("proj.1", norm("proj.0", image_, c_.image_width), c_.image_width, c_.image_width);
    image_ =
        norm("proj.4", b_.linear("proj.3", b_.unary(OpKind::kGelu, h), c_.image_width, c_.width),
             c_.width);
  }

  // One time a row, or one a frame: then with a dimension of frames behind the batch.
  void embed_time(ValueId time) {
    const Dim count = by_frame() ? batch_ * frames_ : batch_;
    if (by_frame()) {
      const ValueId open = b_.reduce(OpKind::kReduceMax, unknown_, {2, 3, 4}, /*keep_dims=*/false);
      time = b_.reshape(b_.mul(b_.reshape(time, {batch_, 1}), open), {count});
    }
    const ValueId features =
        layers::timestep_features(b_, time, count, c_.time_features, 10000, 1000);
    embedding_ =
        b_.linear("time_embedding.2",
                  b_.silu(b_.linear("time_embedding.0", features, c_.time_features, c_.width)),
                  c_.width, c_.width);
    modulation_ =
        b_.reshape(b_.linear("time_projection.1", b_.silu(embedding_), c_.width, 6 * c_.width),
                   by_frame() ? std::vector<Dim>{batch_, frames_, 6, c_.width}
                              : std::vector<Dim>{batch_, 6, c_.width});
  }

  // Parts of the modulation that fit rows(): [batch, (frames,) 1, width] each.
  std::vector<ValueId> modulation_parts(ValueId all, int64_t count) {
    const ValueId m = b_.add(all, b_.weight("modulation", {1, count, c_.width}));
    return b_.split(m, by_frame() ? 2 : 1, 1, count);
  }
  // Tokens [batch, tokens, width] as modulation sees them, and back.
  ValueId rows(ValueId x) {
    return by_frame() ? b_.reshape(x, {batch_, frames_, rows_ * columns_, c_.width}) : x;
  }
  ValueId tokens(ValueId x) { return by_frame() ? b_.reshape(x, {batch_, tokens_, c_.width}) : x; }
  ValueId modulated_norm(ValueId shift, ValueId scale) {
    return tokens(layers::modulate(b_, rows(plain_norm()), shift, scale));
  }
  ValueId gated_add(ValueId y, ValueId gate, std::string_view name = "") {
    return b_.op(OpKind::kAdd, {x_, tokens(b_.mul(rows(y), gate))}, {}, name);
  }

  ValueId plain_norm() { return b_.layer_norm(x_, kNone, kNone, c_.epsilon); }

  ValueId qk_norm(std::string_view name, ValueId x) {
    if (!c_.qk_norm) return x;
    const auto scope = b_.scope(name);
    return b_.rms_norm(x, b_.weight("weight", {c_.width}), c_.epsilon);
  }
  // Of the text and, where there is one, of the picture, with keys and values of its own.
  ValueId cross_attention(ValueId x) {
    const auto scope = b_.scope("cross_attn");
    const auto linear = [&](std::string_view name, ValueId from) {
      return b_.linear(name, from, c_.width, c_.width);
    };
    const auto heads = [&](ValueId y, const Dim& length) {
      return b_.reshape(y, {batch_, length, c_.heads, c_.width / c_.heads});
    };
    const ValueId q = heads(qk_norm("norm_q", linear("q", x)), tokens_);
    ValueId y = b_.attention(q, heads(qk_norm("norm_k", linear("k", context_)), text_length_),
                             heads(linear("v", context_), text_length_));
    if (image_ != kNone)
      y = b_.add(
          y, b_.attention(q, heads(qk_norm("norm_k_img", linear("k_img", image_)), image_length_),
                          heads(linear("v_img", image_), image_length_)));
    return linear("o", b_.reshape(y, {batch_, tokens_, c_.width}));
  }

  void block(int64_t index) {
    const auto scope = b_.scope("blocks." + std::to_string(index));
    const std::vector<ValueId> parts = modulation_parts(modulation_, 6);

    const AttentionSpec self{
        c_.width,  c_.width / c_.heads,
        c_.width,  c_.epsilon,
        rope_.cos, rope_.sin,
        kNone,     tokens_,
        tokens_,   c_.qk_norm ? AttentionSpec::QkNorm::kFullWidth : AttentionSpec::QkNorm::kNone,
        true,      "norm_q",
        "norm_k"};
    ValueId h = modulated_norm(parts[0], parts[1]);
    x_ = gated_add(layers::attention(b_, "self_attn", h, h, self), parts[2]);

    h = x_;
    if (c_.cross_attention_norm)
      h = b_.layer_norm(x_, b_.weight("norm3.weight", {c_.width}),
                        b_.weight("norm3.bias", {c_.width}), c_.epsilon);
    x_ = b_.add(x_, cross_attention(h));

    h = modulated_norm(parts[3], parts[4]);
    h = b_.linear("ffn.2", b_.gelu_tanh(b_.linear("ffn.0", h, c_.width, c_.ffn)), c_.ffn, c_.width);
    x_ = gated_add(h, parts[5], "output");
  }

  ValueId finish() {
    const auto scope = b_.scope("head");
    const std::vector<ValueId> parts = modulation_parts(
        b_.reshape(embedding_, by_frame() ? std::vector<Dim>{batch_, frames_, 1, c_.width}
                                          : std::vector<Dim>{batch_, 1, c_.width}),
        2);
    const ValueId y =
        b_.linear("head", modulated_norm(parts[0], parts[1]), c_.width, 4 * c_.channels);
    return layers::unpatchify(b_, y, batch_, {frames_, rows_, columns_}, c_.channels, {1, 2, 2});
  }

  const WanConfig& c_;
  Builder b_;
  const Dim batch_ = Dim::symbol("batch"), frames_ = Dim::symbol("frames");
  const Dim height_ = Dim::symbol("height"), width_ = Dim::symbol("width");
  const Dim text_length_ = Dim::symbol("text_length");
  const Dim image_length_ = c_.image_positions > 0 ? Dim(c_.image_positions)
                                                   : Dim::symbol("image_length");
  const Dim rows_ = floor_div(height_, 2), columns_ = floor_div(width_, 2);
  const Dim tokens_ = frames_ * rows_ * columns_;
  ValueId x_ = kNone, context_ = kNone;
  layers::RopeTables rope_{kNone, kNone};
  ValueId embedding_ = kNone, modulation_ = kNone;
  ValueId image_ = kNone, known_ = kNone, mask_ = kNone, unknown_ = kNone;
};

}  // namespace

WanConfig wan_i2v_14b() {
  WanConfig c = wan_i2v_a14b();
  c.image_width = 1280;
  return c;
}
WanConfig wan_flf2v_14b() {
  WanConfig c = wan_i2v_14b();
  c.image_positions = 2 * 257;
  return c;
}
WanConfig wan_i2v_a14b() {
  WanConfig c = wan_14b();
  c.conditioning = Conditioning::kChannels;
  return c;
}
WanConfig wan_ti2v_5b() {
  WanConfig c{.layers = 30, .width = 3072, .heads = 24, .ffn = 14336, .channels = 48};
  c.conditioning = Conditioning::kFrames;
  return c;
}

Result<Graph> build_wan_dit(const WanConfig& config) { return WanBuilder(config).build(); }

}  // namespace zoetrope
