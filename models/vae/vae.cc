#include "models/vae/vae.h"

#include "graph/builder.h"
#include "models/layers.h"

namespace zoetrope {
namespace {

constexpr double kEpsilon = 1e-6;  // of every norm

class VaeBuilder {
 public:
  VaeBuilder(const VaeConfig& config, const char* name) : c_(config), b_(name) {}

  Result<Graph> encoder() {
    ZT_RETURN_IF_ERROR(check());
    ValueId x = b_.input("image", DType::kF32, {batch_, height_, width_, c_.image_channels});
    {
      const auto scope = b_.scope("encoder");
      x = conv3("conv_in", x, c_.image_channels, c_.levels.front());
      int64_t channels = c_.levels.front();
      for (size_t level = 0; level < c_.levels.size(); ++level) {
        const auto block = b_.scope("down_blocks." + std::to_string(level));
        x = residuals(x, c_.layers, &channels, c_.levels[level]);
        if (level + 1 < c_.levels.size()) x = downsample(x, channels);
      }
      x = middle(x, channels);
      x = conv3("conv_out", final_norm(x, channels), channels, 2 * c_.latent_channels);
    }
    if (c_.quant_conv) x = conv1("quant_conv", x, 2 * c_.latent_channels, 2 * c_.latent_channels);
    const std::vector<ValueId> moments = b_.split(x, -1, c_.latent_channels, 2);
    b_.output("mean", moments[0]);
    b_.output("log_variance", moments[1]);
    return b_.finish();
  }

  Result<Graph> decoder() {
    ZT_RETURN_IF_ERROR(check());
    ValueId x = b_.input("latents", DType::kF32, {batch_, height_, width_, c_.latent_channels});
    if (c_.post_quant_conv) x = conv1("post_quant_conv", x, c_.latent_channels, c_.latent_channels);
    const auto scope = b_.scope("decoder");
    int64_t channels = c_.levels.back();
    x = middle(conv3("conv_in", x, c_.latent_channels, channels), channels);
    for (size_t i = 0; i < c_.levels.size(); ++i) {
      const auto block = b_.scope("up_blocks." + std::to_string(i));
      x = residuals(x, c_.layers + 1, &channels, c_.levels[c_.levels.size() - 1 - i]);
      if (i + 1 < c_.levels.size()) x = upsample(x, channels);
    }
    x = conv3("conv_out", final_norm(x, channels), channels, c_.image_channels);
    b_.output("image", x);
    return b_.finish();
  }

 private:
  Status check() const {
    return layers::check_levels(c_.levels, c_.groups,
                                {c_.image_channels, c_.latent_channels, c_.layers});
  }

  ValueId convolution(std::string_view name, ValueId x, int64_t in, int64_t out, int64_t kernel,
                      const Builder::ConvOptions& options) {
    const auto scope = b_.scope(name);
    const ValueId y = b_.conv(x, b_.weight("weight", {out, kernel, kernel, in}), options);
    return b_.op(OpKind::kAdd, {y, b_.weight("bias", {out})}, {}, "output");
  }
  ValueId conv3(std::string_view name, ValueId x, int64_t in, int64_t out) {
    return convolution(name, x, in, out, 3,
                       {.stride = {}, .dilation = {}, .pad_lo = {1, 1}, .pad_hi = {1, 1}});
  }
  ValueId conv1(std::string_view name, ValueId x, int64_t in, int64_t out) {
    return convolution(name, x, in, out, 1,
                       {.stride = {}, .dilation = {}, .pad_lo = {}, .pad_hi = {}});
  }

  ValueId norm(std::string_view name, ValueId x, int64_t channels) {
    const auto scope = b_.scope(name);
    return b_.group_norm(x, b_.weight("weight", {channels}), b_.weight("bias", {channels}),
                         c_.groups, kEpsilon);
  }
  ValueId activate(ValueId x) {
    switch (c_.activation) {
      case VaeConfig::Activation::kGelu: return b_.unary(OpKind::kGelu, x);
      case VaeConfig::Activation::kRelu: return b_.unary(OpKind::kRelu, x);
      default: return b_.silu(x);
    }
  }
  // The last activation is SiLU whatever the blocks' is.
  ValueId final_norm(ValueId x, int64_t channels) {
    return b_.silu(norm("conv_norm_out", x, channels));
  }

  ValueId residual(std::string_view name, ValueId x, int64_t in, int64_t out) {
    const auto scope = b_.scope(name);
    ValueId h = conv3("conv1", activate(norm("norm1", x, in)), in, out);
    h = conv3("conv2", activate(norm("norm2", h, out)), out, out);
    if (in != out) x = conv1("conv_shortcut", x, in, out);
    return b_.op(OpKind::kAdd, {x, h}, {}, "output");
  }
  ValueId residuals(ValueId x, int64_t count, int64_t* channels, int64_t out) {
    for (int64_t i = 0; i < count; ++i) {
      x = residual("resnets." + std::to_string(i), x, *channels, out);
      *channels = out;
    }
    return x;
  }

  // Residual blocks around single-head attention over all positions.
  ValueId middle(ValueId x, int64_t channels) {
    const auto scope = b_.scope("mid_block");
    x = residual("resnets.0", x, channels, channels);
    if (c_.mid_attention) x = attention(x, channels);
    return residual("resnets.1", x, channels, channels);
  }
  ValueId attention(ValueId x, int64_t channels) {
    const auto scope = b_.scope("attentions.0");
    const Dim positions = height_ * width_;
    const ValueId h = b_.reshape(norm("group_norm", x, channels), {batch_, positions, channels});
    const auto head = [&](std::string_view name) {
      return b_.reshape(b_.linear(name, h, channels, channels), {batch_, positions, 1, channels});
    };
    const ValueId q = head("to_q"), k = head("to_k"), v = head("to_v");
    const ValueId y = b_.reshape(b_.attention(q, k, v), {batch_, positions, channels});
    const ValueId h_out = b_.reshape(b_.linear("to_out.0", y, channels, channels),
                                     {batch_, height_, width_, channels});
    return b_.op(OpKind::kAdd, {x, h_out}, {}, "output");
  }

  // Zeros below and to the right only.
  ValueId downsample(ValueId x, int64_t channels) {
    height_ = floor_div(height_, 2), width_ = floor_div(width_, 2);
    return convolution("downsamplers.0.conv", x, channels, channels, 3,
                       {.stride = {2, 2}, .dilation = {}, .pad_lo = {0, 0}, .pad_hi = {1, 1}});
  }
  ValueId upsample(ValueId x, int64_t channels) {
    return conv3("upsamplers.0.conv", b_.repeat(b_.repeat(x, 1, 2), 2, 2), channels, channels);
  }

  const VaeConfig& c_;
  Builder b_;
  const Dim batch_ = Dim::symbol("batch");
  Dim height_ = Dim::symbol("height"), width_ = Dim::symbol("width");  // of x, up to the middle
};

}  // namespace

Result<Graph> build_vae_encoder(const VaeConfig& config) {
  return VaeBuilder(config, "encoder").encoder();
}
Result<Graph> build_vae_decoder(const VaeConfig& config) {
  return VaeBuilder(config, "decoder").decoder();
}

}  // namespace zoetrope
