#include "graph/builder.h"
#include "models/toybox/toybox.h"

namespace zoetrope {
namespace {

// Video activations [B, T, H, W, C] with symbolic extents. Frames fold into the batch for spatial
// convolutions, and rows and columns into one axis for temporal ones: both are free views.
struct Video {
  ValueId value;
  Dim t, h, w;
  int64_t c;
};

class TaeBuilder {
 public:
  TaeBuilder(const ToyboxConfig::Tae& config, const char* name) : c_(config), b_(name) {}

  Result<Graph> encoder() {
    const Dim t = Dim::symbol("frames"), h = Dim::symbol("height"), w = Dim::symbol("width");
    const auto& widths = c_.encoder_widths;
    Video x{b_.input("video", DType::kF32, {batch_, t, h, w, 3}), t, h, w, 3};
    const auto scope = b_.scope("tae.encoder");
    x = conv2_plus_1("input", unshuffle(x), widths[0], 1, 1);
    x = blocks("blocks0", x, c_.encoder_blocks[0]);
    x = conv2_plus_1("down0", x, widths[1], 2, 2);
    x = blocks("blocks1", x, c_.encoder_blocks[1]);
    x = conv2_plus_1("down1", x, widths[2], 2, 2);
    x = blocks("blocks2", x, c_.encoder_blocks[2]);
    x = temporal("down2", x, 2);
    x = blocks("mid", x, c_.encoder_mid_blocks);
    x = spatial("output", norm_silu("norm", x), c_.latent_channels, 1);
    b_.output("latents", x.value);
    return b_.finish();
  }

  Result<Graph> decoder() {
    const Dim t = Dim::symbol("frames"), h = Dim::symbol("height"), w = Dim::symbol("width");
    const auto& widths = c_.decoder_widths;
    Video x{b_.input("latents", DType::kF32, {batch_, t, h, w, c_.latent_channels}), t, h, w,
            c_.latent_channels};
    const auto scope = b_.scope("tae.decoder");
    x = blocks("mid", conv2_plus_1("input", x, widths[2], 1, 1), c_.decoder_mid_blocks);
    x = blocks("blocks2", temporal("up2", twice_in_time(x), 1), c_.decoder_blocks[2]);
    x = blocks("blocks1", up("up1", x, widths[1]), c_.decoder_blocks[1]);
    x = blocks("blocks0", up("up0", x, widths[0]), c_.decoder_blocks[0]);
    x = shuffle(conv2_plus_1("output", norm_silu("norm", x), 12, 1, 1));
    b_.output("video", x.value);
    return b_.finish();
  }

 private:
  ValueId with_bias(ValueId y, int64_t channels) {
    return b_.add(y, b_.weight("bias", {channels}));
  }

  // 3×3 over rows and columns, zeros around.
  Video spatial(std::string_view name, const Video& x, int64_t channels, int64_t stride) {
    const auto scope = b_.scope(name);
    const Dim h = ceil_div(x.h, stride), w = ceil_div(x.w, stride);
    const ValueId frames = b_.reshape(x.value, {batch_ * x.t, x.h, x.w, x.c});
    const ValueId y =
        b_.conv(frames, b_.weight("weight", {channels, 3, 3, x.c}),
                {.stride = {stride, stride}, .dilation = {}, .pad_lo = {1, 1}, .pad_hi = {1, 1}});
    return {b_.reshape(with_bias(y, channels), {batch_, x.t, h, w, channels}), x.t, h, w, channels};
  }

  // Kernel 3 along time, one replicated frame on either side.
  Video temporal(std::string_view name, const Video& x, int64_t stride) {
    const auto scope = b_.scope(name);
    const Dim t = ceil_div(x.t, stride);
    const ValueId flat = b_.reshape(x.value, {batch_, x.t, x.h * x.w, x.c});
    const ValueId padded = b_.pad(flat, {0, 1, 0, 0}, {0, 1, 0, 0}, "replicate");
    const ValueId y = b_.conv(padded, b_.weight("weight", {x.c, 3, 1, x.c}),
                              {.stride = {stride, 1}, .dilation = {}, .pad_lo = {}, .pad_hi = {}});
    return {b_.reshape(with_bias(y, x.c), {batch_, t, x.h, x.w, x.c}), t, x.h, x.w, x.c};
  }

  Video conv2_plus_1(std::string_view name, const Video& x, int64_t channels,
                     int64_t spatial_stride, int64_t temporal_stride) {
    const auto scope = b_.scope(name);
    return temporal("temporal", spatial("spatial", x, channels, spatial_stride), temporal_stride);
  }

  Video norm_silu(std::string_view name, Video x) {
    const auto scope = b_.scope(name);
    x.value = b_.silu(b_.rms_norm(x.value, b_.weight("weight", {x.c}), c_.norm_epsilon));
    return x;
  }

  Video blocks(const std::string& name, Video x, int64_t count) {
    for (int64_t i = 0; i < count; ++i) {
      const auto scope = b_.scope(name + "." + std::to_string(i));
      Video h = conv2_plus_1("conv1", norm_silu("norm1", x), x.c, 1, 1);
      h = conv2_plus_1("conv2", norm_silu("norm2", h), x.c, 1, 1);
      x.value = b_.add(x.value, h.value);
    }
    return x;
  }

  Video twice_in_time(Video x) {
    x.value = b_.repeat(x.value, 1, 2);
    x.t = x.t * 2;
    return x;
  }

  Video up(std::string_view name, Video x, int64_t channels) {
    const auto scope = b_.scope(name);
    x.value = b_.repeat(b_.repeat(x.value, 2, 2), 3, 2);
    x.h = x.h * 2;
    x.w = x.w * 2;
    return temporal("temporal", twice_in_time(spatial("spatial", x, channels, 1)), 1);
  }

  // Channel (dy·2 + dx)·C + c of half the rows and columns, and back.
  Video unshuffle(const Video& x) {
    const Dim h = floor_div(x.h, 2), w = floor_div(x.w, 2);
    ValueId y = b_.reshape(x.value, {batch_ * x.t * h, 2, w, 2 * x.c});
    y = b_.reshape(b_.transpose(y, {0, 2, 1, 3}), {batch_, x.t, h, w, 4 * x.c});
    return {y, x.t, h, w, 4 * x.c};
  }
  Video shuffle(const Video& x) {
    const int64_t channels = x.c / 4;
    ValueId y = b_.reshape(x.value, {batch_ * x.t * x.h, x.w, 2, 2 * channels});
    y = b_.reshape(b_.transpose(y, {0, 2, 1, 3}), {batch_, x.t, x.h * 2, x.w * 2, channels});
    return {y, x.t, x.h * 2, x.w * 2, channels};
  }

  const ToyboxConfig::Tae& c_;
  Builder b_;
  const Dim batch_ = Dim::symbol("batch");
};

}  // namespace

Result<Graph> build_toybox_tae_encoder(const ToyboxConfig::Tae& config) {
  return TaeBuilder(config, "tae_encoder").encoder();
}

// From the output back: a temporal convolution reaches one step to either side, a block has two of
// them, and a step before doubling in time stands for two after it.
int64_t toybox_tae_reach(const ToyboxConfig::Tae& config) {
  int64_t reach = 1;                            // "output"
  for (int64_t blocks : config.decoder_blocks)  // the finest first
    reach = (reach + 2 * blocks + 1 + 1) / 2;
  return reach + 2 * config.decoder_mid_blocks + 1;  // "input"
}

Result<Graph> build_toybox_tae_decoder(const ToyboxConfig::Tae& config) {
  return TaeBuilder(config, "tae_decoder").decoder();
}

}  // namespace zoetrope
