#include "models/clip/clip.h"

#include <algorithm>

#include "models/clip/layer.h"

namespace zoetrope {
namespace {

class ClipVisionBuilder {
 public:
  explicit ClipVisionBuilder(const ClipVisionConfig& config) : c_(config), b_("vision_encoder") {}

  Result<Graph> build() {
    ZT_RETURN_IF_ERROR(check());
    const ValueId image =
        b_.input("image", DType::kF32, {batch_, c_.image_size, c_.image_size, 3}, Rate::kClip);
    ValueId x = embed(normalise(image));
    x = layers_.norm("pre_layrnorm", x);
    for (int64_t i = 0; i < c_.layers - c_.left_out; ++i) x = layers_.layer(x, i);
    if (c_.projection > 0)
      b_.output("embedding", project(x));
    else
      b_.output("features", x);
    return b_.finish();
  }

 private:
  Status check() const {
    for (const int64_t size : {c_.width, c_.layers, c_.heads, c_.ffn, c_.patch, c_.image_size})
      if (size < 1 || size > 1 << 20)
        return error(Code::kInvalidArgument, "a picture tower with a size of ", size);
    if (c_.width % c_.heads != 0 || c_.image_size % c_.patch != 0)
      return error(Code::kInvalidArgument, "a picture tower's ", c_.heads,
                   " heads must divide its width ", c_.width, ", and its patches of ", c_.patch,
                   " pixels its pictures of ", c_.image_size);
    if (c_.projection < 0 || (c_.projection > 0 && c_.left_out > 0))
      return error(Code::kInvalidArgument, "a projection to ", c_.projection,
                   " stands behind all layers; ", c_.left_out, " are left out");
    if (c_.left_out < 0 || c_.left_out >= c_.layers)
      return error(Code::kInvalidArgument, "of ", c_.layers, " layers ", c_.left_out,
                   " cannot be left out");
    for (const double d : c_.deviation)
      if (!(d > 0)) return error(Code::kInvalidArgument, "a channel's deviation must be positive");
    return Status();
  }

  ValueId per_channel(const std::array<double, 3>& values) {
    std::vector<ValueId> parts;
    for (const double value : values) parts.push_back(b_.fill(value, {1}));
    return b_.concat(std::move(parts), 0);
  }
  // ((x + 1) / 2 − mean) / deviation
  ValueId normalise(ValueId image) {
    std::array<double, 3> scale{}, shift{};
    for (size_t i = 0; i < 3; ++i) {
      scale[i] = 0.5 / c_.deviation[i];
      shift[i] = (0.5 - c_.mean[i]) / c_.deviation[i];
    }
    return b_.add(b_.mul(image, per_channel(scale)), per_channel(shift));
  }

  ValueId embed(ValueId image) {
    const auto scope = b_.scope("embeddings");
    const ValueId patches =
        b_.conv(image, b_.weight("patch_embedding.weight", {c_.width, c_.patch, c_.patch, 3}),
                {.stride = {c_.patch, c_.patch}, .dilation = {}, .pad_lo = {}, .pad_hi = {}});
    const ValueId kind =
        b_.broadcast(b_.reshape(b_.weight("class_embedding", {c_.width}), {1, 1, c_.width}),
                     {batch_, 1, c_.width});
    const ValueId tokens =
        b_.concat({kind, b_.reshape(patches, {batch_, tokens_ - 1, c_.width})}, 1);
    return b_.add(tokens, b_.weight("position_embedding.weight", {tokens_, c_.width}));
  }

  ValueId project(ValueId x) {
    const ValueId kind = b_.reshape(b_.slice(x, 1, 0, 1), {batch_, c_.width});
    return b_.linear("visual_projection", layers_.norm("post_layernorm", kind), c_.width,
                     c_.projection, /*has_bias=*/false);
  }

  const ClipVisionConfig& c_;
  Builder b_;
  const Dim batch_ = Dim::symbol("batch");
  const int64_t side_ = c_.image_size / std::max<int64_t>(c_.patch, 1), tokens_ = side_ * side_ + 1;
  const ClipLayers layers_{b_,    c_.width, c_.heads, c_.ffn, c_.epsilon, c_.activation,
                           false, batch_,   tokens_};
};

}  // namespace

Result<Graph> build_clip_vision(const ClipVisionConfig& config) {
  return ClipVisionBuilder(config).build();
}

}  // namespace zoetrope
