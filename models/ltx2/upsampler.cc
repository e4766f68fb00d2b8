#include "models/ltx2/upsampler.h"

#include <string>

#include "graph/builder.h"
#include "models/layers.h"

namespace zoetrope {
namespace {

constexpr int64_t kGroups = 32;
constexpr double kNormEpsilon = 1e-5;

// [batch, t, h, w, c]
struct Latents {
  ValueId value;
  Dim t, h, w;
  int64_t c;
};

class UpsamplerBuilder {
 public:
  explicit UpsamplerBuilder(const Ltx2UpsamplerConfig& config) : c_(config), b_("upsampler") {}

  Result<Graph> build() {
    ZT_RETURN_IF_ERROR(check());
    const Dim t = Dim::symbol("frames"), h = Dim::symbol("height"), w = Dim::symbol("width");
    Latents x{b_.input("latents", DType::kF32, {batch_, t, h, w, c_.channels}), t, h, w,
              c_.channels};
    x = conv("initial_conv", x, c_.width, c_.over_time);
    x.value = b_.silu(norm("initial_norm", x));
    for (int64_t i = 0; i < c_.blocks; ++i) x = residual("res_blocks." + std::to_string(i), x);
    x = change(x);
    for (int64_t i = 0; i < c_.blocks; ++i)
      x = residual("post_upsample_res_blocks." + std::to_string(i), x);
    b_.output("upsampled", conv("final_conv", x, c_.channels, c_.over_time).value);
    return b_.finish();
  }

 private:
  Status check() const {
    if (c_.channels < 1 || c_.width < kGroups || c_.width % kGroups != 0 || c_.blocks < 0 ||
        c_.blocks > 64)
      return error(Code::kInvalidArgument, "an upsampler of ", c_.channels, " channels through ",
                   c_.width, " in ", c_.blocks, " blocks: expected whole groups of ", kGroups);
    if (!c_.spatial && !c_.temporal)
      return error(Code::kInvalidArgument, "an upsampler of neither space nor time");
    if (c_.temporal && !c_.over_time)
      return error(Code::kInvalidArgument, "an upsampler of time that sees each frame alone");
    if (c_.numerator < 2 || c_.numerator > 8 || c_.denominator < 1 || c_.denominator > 4 ||
        (!c_.rational && (c_.numerator != 2 || c_.denominator != 1)))
      return error(Code::kInvalidArgument, "an upsampler to ", c_.numerator, " / ", c_.denominator,
                   " of the size");
    return Status();
  }

  Latents conv(std::string_view name, const Latents& x, int64_t channels, bool over_time) {
    const auto scope = b_.scope(name);
    ValueId y;
    if (over_time) {
      y = b_.conv(x.value, b_.weight("weight", {channels, 3, 3, 3, x.c}),
                  {.stride = {}, .dilation = {}, .pad_lo = {1, 1, 1}, .pad_hi = {1, 1, 1}});
      y = b_.add(y, b_.weight("bias", {channels}));
    } else {
      y = b_.conv(b_.reshape(x.value, {batch_ * x.t, x.h, x.w, x.c}),
                  b_.weight("weight", {channels, 3, 3, x.c}),
                  {.stride = {}, .dilation = {}, .pad_lo = {1, 1}, .pad_hi = {1, 1}});
      y = b_.reshape(b_.add(y, b_.weight("bias", {channels})), {batch_, x.t, x.h, x.w, channels});
    }
    return {y, x.t, x.h, x.w, channels};
  }

  ValueId norm(std::string_view name, const Latents& x) {
    const auto scope = b_.scope(name);
    const ValueId weight = b_.weight("weight", {x.c}), bias = b_.weight("bias", {x.c});
    if (c_.over_time) return b_.group_norm(x.value, weight, bias, kGroups, kNormEpsilon);
    const ValueId frames = b_.reshape(x.value, {batch_ * x.t, x.h, x.w, x.c});
    return b_.reshape(b_.group_norm(frames, weight, bias, kGroups, kNormEpsilon),
                      {batch_, x.t, x.h, x.w, x.c});
  }

  Latents residual(const std::string& name, const Latents& x) {
    const auto scope = b_.scope(name);
    Latents y = conv("conv1", x, x.c, c_.over_time);
    y.value = b_.silu(norm("norm1", y));
    y = conv("conv2", y, x.c, c_.over_time);
    y.value = norm("norm2", y);
    y.value = b_.op(OpKind::kSilu, {b_.add(y.value, x.value)}, {}, "output");
    return y;
  }

  // Channels (channel, place) become places, [t, s, s] of each.
  Latents shuffle(const Latents& x, int64_t t, int64_t s) {
    const int64_t places = t * s * s, channels = x.c / places;
    ValueId y = b_.reshape(x.value, {batch_ * x.t * x.h * x.w, channels, places});
    y = b_.reshape(b_.transpose(y, {0, 2, 1}), {batch_, x.t * x.h * x.w, x.c});
    y = layers::unpatchify(b_, y, batch_, {x.t, x.h, x.w}, channels, {t, s, s});
    return {y, x.t * t, x.h * s, x.w * s, channels};
  }

  // Every second row and column of what a binomial of five smooths; beyond the border is zero.
  Latents blur_down(Latents x) {
    const int64_t by = c_.denominator;
    const double weights[] = {1.0 / 16, 4.0 / 16, 6.0 / 16, 4.0 / 16, 1.0 / 16};
    for (const int axis : {2, 3}) {
      Dim& side = axis == 2 ? x.h : x.w;
      std::vector<Dim> around(5, 0);
      around[static_cast<size_t>(axis)] = 2;
      const ValueId padded = b_.pad(x.value, around, around);
      const Dim kept = floor_div(side + (by - 1), by);
      ValueId sum = kNone;
      for (int64_t i = 0; i < 5; ++i) {
        const ValueId part =
            b_.mul(b_.slice(padded, axis, i, i + (kept - 1) * by + 1, by), b_.scalar(weights[i]));
        sum = sum == kNone ? part : b_.add(sum, part);
      }
      x.value = sum;
      side = kept;
    }
    return x;
  }

  Latents change(Latents x) {
    const auto scope = b_.scope("upsampler");
    if (!c_.temporal) {
      const int64_t n = c_.numerator;
      x = shuffle(conv(c_.rational ? "conv" : "0", x, n * n * x.c, false), 1, n);
      return c_.denominator == 1 ? x : blur_down(x);
    }
    const int64_t s = c_.spatial ? 2 : 1;
    x = shuffle(conv("0", x, 2 * s * s * x.c, true), 2, s);
    x.value = b_.slice(x.value, 1, 1, Builder::kToEnd);
    x.t = x.t - 1;
    return x;
  }

  const Ltx2UpsamplerConfig& c_;
  Builder b_;
  const Dim batch_ = Dim::symbol("batch");
};

}  // namespace

Result<Graph> build_ltx2_upsampler(const Ltx2UpsamplerConfig& config) {
  return UpsamplerBuilder(config).build();
}

}  // namespace zoetrope
