#include "models/ltx2/mel.h"

namespace zoetrope::ltx2 {
namespace {

constexpr double kNormEpsilon = 1e-6;

}  // namespace

Mel mel_conv(Builder& b, std::string_view name, const Mel& x, int64_t channels, int64_t kernel,
             int64_t stride) {
  const auto outer = b.scope(name);
  const int64_t side = kernel / 2;
  const bool whole = stride == 1;
  const ValueId y = b.conv(x.value, b.weight("weight", {channels, kernel, kernel, x.c}),
                           {.stride = {stride, stride},
                            .dilation = {},
                            .pad_lo = {kernel - 1, whole ? side : 0},
                            .pad_hi = {0, side}});
  return {b.add(y, b.weight("bias", {channels})), floor_div(x.t + (stride - 1), stride),
          x.f / stride, channels};
}

Mel mel_norm_silu(Builder& b, Mel x) {
  x.value = b.silu(b.rms_norm(x.value, kNone, kNormEpsilon));
  return x;
}

Mel mel_residual(Builder& b, const std::string& name, Mel x, int64_t channels) {
  const auto scope = b.scope(name);
  Mel h = mel_conv(b, "conv1.conv", mel_norm_silu(b, x), channels);
  h = mel_conv(b, "conv2.conv", mel_norm_silu(b, h), channels);
  if (x.c != channels) x = mel_conv(b, "nin_shortcut.conv", x, channels, 1);
  x.value = b.op(OpKind::kAdd, {h.value, x.value}, {}, "output");
  return x;
}

}  // namespace zoetrope::ltx2
