#include "models/moviegen/tae.h"

#include <string>

#include "graph/builder.h"
#include "models/layers.h"

namespace zoetrope {
namespace {

constexpr double kEpsilon = 1e-6;  // of every norm

// [batch, t, h, w, c]
struct Video {
  ValueId value;
  Dim t, h, w;
  int64_t c;
};

class TaeBuilder {
 public:
  TaeBuilder(const TaeConfig& config, const char* name) : c_(config), b_(name) {}

  Result<Graph> encoder() {
    ZT_RETURN_IF_ERROR(check());
    const int64_t f = c_.factor();
    const Dim t = frames_ * c_.time_factor(), h = height_ * f, w = width_ * f;
    Video x{b_.input("video", DType::kF32, {batch_, t, h, w, c_.image_channels}), t, h, w,
            c_.image_channels};
    const auto scope = b_.scope("encoder");
    x = conv("conv_in", x, c_.levels.front());
    for (size_t level = 0; level < c_.levels.size(); ++level) {
      const auto block = b_.scope("down." + std::to_string(level));
      x = residuals(x, c_.layers, c_.levels[level]);
      if (level + 1 < c_.levels.size()) x = conv("change", x, x.c, 3, /*stride=*/2);
    }
    x = conv("conv_out", norm_silu("norm_out", middle(x)), 2 * c_.latent_channels);
    b_.output("mean", b_.slice(x.value, 4, 0, c_.latent_channels));
    return b_.finish();
  }

  Result<Graph> decoder() {
    ZT_RETURN_IF_ERROR(check());
    Video x{
        b_.input("latents", DType::kF32, {batch_, frames_, height_, width_, c_.latent_channels}),
        frames_, height_, width_, c_.latent_channels};
    const auto scope = b_.scope("decoder");
    x = middle(conv("conv_in", x, c_.levels.back()));
    for (size_t i = 0; i < c_.levels.size(); ++i) {
      const auto block = b_.scope("up." + std::to_string(i));
      x = residuals(x, c_.layers + 1, c_.levels[c_.levels.size() - 1 - i]);
      if (i + 1 < c_.levels.size()) x = upsample("change", x);
    }
    x = conv("conv_out", norm_silu("norm_out", x), c_.image_channels);
    b_.output("video", x.value);
    return b_.finish();
  }

 private:
  Status check() const {
    return layers::check_levels(c_.levels, c_.groups,
                                {c_.image_channels, c_.latent_channels, c_.layers});
  }

  // Of each frame, with zeros around; halved, they stand behind alone, as in the images'.
  Video space(const Video& x, int64_t channels, int64_t kernel, int64_t stride) {
    const int64_t side = kernel / 2, before = stride == 1 ? side : 0;
    const ValueId y = b_.conv(b_.reshape(x.value, {batch_ * x.t, x.h, x.w, x.c}),
                              b_.weight("weight", {channels, kernel, kernel, x.c}),
                              {.stride = {stride, stride},
                               .dilation = {},
                               .pad_lo = {before, before},
                               .pad_hi = {side, side}});
    const Dim h = floor_div(x.h, stride), w = floor_div(x.w, stride);
    return {b_.reshape(b_.add(y, b_.weight("bias", {channels})), {batch_, x.t, h, w, channels}),
            x.t, h, w, channels};
  }
  // Of each place, the ends standing for what is beyond them.
  Video time(const Video& x, int64_t stride) {
    if (c_.frames_alone)
      return {b_.op(OpKind::kReshape, {x.value},
                    {{"dims", std::vector<Dim>{batch_, x.t, x.h, x.w, x.c}}}, "output"),
              x.t, x.h, x.w, x.c};
    const ValueId padded = b_.pad(b_.reshape(x.value, {batch_, x.t, x.h * x.w, x.c}), {0, 1, 0, 0},
                                  {0, 1, 0, 0}, "replicate");
    const ValueId y = b_.conv(padded, b_.weight("time.weight", {x.c, 3, 1, x.c}),
                              {.stride = {stride, 1}, .dilation = {}, .pad_lo = {}, .pad_hi = {}});
    const Dim t = floor_div(x.t + (stride - 1), stride);
    return {b_.op(OpKind::kReshape, {b_.add(y, b_.weight("time.bias", {x.c}))},
                  {{"dims", std::vector<Dim>{batch_, t, x.h, x.w, x.c}}}, "output"),
            t, x.h, x.w, x.c};
  }
  Video conv(std::string_view name, const Video& x, int64_t channels, int64_t kernel = 3,
             int64_t stride = 1) {
    const auto scope = b_.scope(name);
    return time(space(x, channels, kernel, stride), stride);
  }
  // Twice as many of all, by repeating; then both convolutions.
  Video upsample(std::string_view name, Video x) {
    const auto scope = b_.scope(name);
    x.value = b_.repeat(b_.repeat(x.value, 2, 2), 3, 2);
    x.h = x.h * 2, x.w = x.w * 2;
    x = space(x, x.c, 3, 1);
    if (!c_.frames_alone) {
      x.value = b_.repeat(x.value, 1, 2);
      x.t = x.t * 2;
    }
    return time(x, 1);
  }

  ValueId norm(std::string_view name, const Video& x) {
    const auto scope = b_.scope(name);
    const ValueId frames = b_.reshape(x.value, {batch_ * x.t, x.h, x.w, x.c});
    return b_.reshape(b_.group_norm(frames, b_.weight("weight", {x.c}), b_.weight("bias", {x.c}),
                                    c_.groups, kEpsilon),
                      {batch_, x.t, x.h, x.w, x.c});
  }
  Video norm_silu(std::string_view name, Video x) {
    x.value = b_.silu(norm(name, x));
    return x;
  }

  Video residual(const std::string& name, Video x, int64_t channels) {
    const auto scope = b_.scope(name);
    Video h = conv("conv1", norm_silu("norm1", x), channels);
    h = conv("conv2", norm_silu("norm2", h), channels);
    if (x.c != channels) x = conv("shortcut", x, channels, 1);
    x.value = b_.op(OpKind::kAdd, {h.value, x.value}, {}, "output");
    return x;
  }
  Video residuals(Video x, int64_t count, int64_t channels) {
    for (int64_t i = 0; i < count; ++i) x = residual("block." + std::to_string(i), x, channels);
    return x;
  }

  // One head over `rows` sequences of `length`.
  ValueId attend(ValueId x, const Dim& rows, const Dim& length, int64_t c) {
    const auto heads = [&](const char* name) {
      return b_.reshape(b_.linear(name, x, c, c), {rows, length, 1, c});
    };
    const ValueId q = heads("q"), k = heads("k"), v = heads("v");
    return b_.linear("o", b_.reshape(b_.attention(q, k, v), {rows, length, c}), c, c);
  }
  // Within each frame, then within each place along time.
  Video attention(const std::string& name, Video x) {
    const auto scope = b_.scope(name);
    const Dim places = x.h * x.w;
    ValueId y =
        attend(b_.reshape(norm("norm", x), {batch_ * x.t, places, x.c}), batch_ * x.t, places, x.c);
    x.value = b_.add(x.value, b_.reshape(y, {batch_, x.t, x.h, x.w, x.c}));
    if (c_.frames_alone) return x;
    {
      const auto along = b_.scope("time");
      y = b_.transpose(b_.reshape(norm("norm", x), {batch_, x.t, places, x.c}), {0, 2, 1, 3});
      y = attend(b_.reshape(y, {batch_ * places, x.t, x.c}), batch_ * places, x.t, x.c);
    }
    y = b_.transpose(b_.reshape(y, {batch_, places, x.t, x.c}), {0, 2, 1, 3});
    x.value =
        b_.op(OpKind::kAdd, {x.value, b_.reshape(y, {batch_, x.t, x.h, x.w, x.c})}, {}, "output");
    return x;
  }
  Video middle(Video x) {
    const auto scope = b_.scope("middle");
    x = attention("attention", residual("block.0", x, x.c));
    return residual("block.1", x, x.c);
  }

  const TaeConfig& c_;
  Builder b_;
  const Dim batch_ = Dim::symbol("batch"), frames_ = Dim::symbol("frames");
  const Dim height_ = Dim::symbol("height"), width_ = Dim::symbol("width");
};

}  // namespace

Result<Graph> build_tae_encoder(const TaeConfig& config) {
  return TaeBuilder(config, "encoder").encoder();
}
Result<Graph> build_tae_decoder(const TaeConfig& config) {
  return TaeBuilder(config, "decoder").decoder();
}

}  // namespace zoetrope
