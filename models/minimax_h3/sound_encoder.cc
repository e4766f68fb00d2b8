#include <string>

#include "graph/builder.h"
#include "models/minimax_h3/sound.h"

namespace zoetrope {
namespace {

using ltx2::Wave;

constexpr double kSnakeEpsilon = 1e-9, kNormEpsilon = 1e-5;
constexpr int64_t kDilations[] = {1, 3, 9};  // of a level's residual units
constexpr int64_t kUnitKernel = 7;

class EncoderBuilder {
 public:
  explicit EncoderBuilder(const MiniMaxH3SoundConfig& config) : c_(config), b_("sound_encoder") {}

  Result<Graph> build() {
    ZT_RETURN_IF_ERROR(check());
    const Dim samples = frames_ * c_.hop();
    const ValueId sound = b_.input("sound", DType::kF32, {batch_, samples, c_.sides});
    Wave x{b_.reshape(b_.transpose(sound, {0, 2, 1}), {rows_, samples, 1}), samples, 1};
    {
      const auto scope = b_.scope("encoder");
      size_t part = 0;
      const auto next = [&] { return "block." + std::to_string(part++); };
      x = conv(next(), x, c_.base, {.kernel = 7});
      for (const int64_t stride : c_.strides) x = level(next(), x, stride);
      x = snake(next(), x);
      x = conv(next(), x, c_.trunk, {.kernel = 3});
    }
    ValueId y = narrowed(x.value);
    y = b_.linear("mean_proj", y, c_.latent_channels, c_.latent_channels);
    y = b_.transpose(b_.reshape(y, {batch_, c_.sides, frames_, c_.latent_channels}), {0, 2, 1, 3});
    b_.output("mean", b_.reshape(y, {batch_, frames_, c_.sides * c_.latent_channels}));
    return b_.finish();
  }

 private:
  Status check() const {
    ZT_RETURN_IF_ERROR(check_minimax_h3_sound(c_));
    for (const int64_t stride : c_.strides)
      if (stride < 1 || stride > 64)
        return error(Code::kInvalidArgument, "an encoder of sound that strides by ", stride);
    if (c_.trunk % c_.heads != 0 || head_dim() % c_.latent_channels != 0)
      return error(Code::kUnsupported, "heads of ", c_.trunk, " / ", c_.heads,
                   " channels averaged to ", c_.latent_channels, ": expected whole groups");
    return Status();
  }
  int64_t head_dim() const { return c_.trunk / c_.heads; }

  struct Conv {
    int64_t kernel = 1, dilation = 1, stride = 1;
  };
  Wave conv(const std::string& name, const Wave& x, int64_t channels, const Conv& s) {
    const auto scope = b_.scope(name);
    // A change of length is over as many samples before as behind, an odd one over one more.
    const int64_t side = s.stride > 1 ? (s.stride + 1) / 2 : s.dilation * (s.kernel / 2);
    const ValueId y = b_.conv(
        x.value, ltx2::normed_filter(b_, channels, s.kernel, x.c),
        {.stride = {s.stride}, .dilation = {s.dilation}, .pad_lo = {side}, .pad_hi = {side}});
    return {b_.add(y, b_.weight("bias", {channels})), floor_div(x.n, s.stride), channels};
  }

  Wave snake(const std::string& name, Wave x) {
    const auto scope = b_.scope(name);
    const ValueId alpha = b_.weight("alpha", {x.c});
    const ValueId sine = b_.sin(b_.mul(x.value, alpha));
    const ValueId width = b_.div(b_.scalar(1), b_.add(alpha, b_.scalar(kSnakeEpsilon)));
    x.value = b_.add(x.value, b_.mul(b_.mul(sine, sine), width));
    return x;
  }

  Wave level(const std::string& name, Wave x, int64_t stride) {
    const auto scope = b_.scope(name);
    size_t part = 0;
    const auto next = [&] { return "block." + std::to_string(part++); };
    for (const int64_t dilation : kDilations) x = unit(next(), x, dilation);
    x = snake(next(), x);
    return conv(next(), x, 2 * x.c, {.kernel = 2 * stride, .stride = stride});
  }

  Wave unit(const std::string& name, Wave x, int64_t dilation) {
    const auto scope = b_.scope(name);
    const auto inner = b_.scope("block");
    Wave y = conv("1", snake("0", x), x.c, {.kernel = kUnitKernel, .dilation = dilation});
    y = conv("3", snake("2", y), x.c, {});
    x.value = b_.op(OpKind::kAdd, {x.value, y.value}, {}, "output");
    return x;
  }

  ValueId norm(const std::string& name, ValueId x, int64_t width) {
    return b_.layer_norm(x, b_.weight(name + ".weight", {width}),
                         b_.weight(name + ".bias", {width}), kNormEpsilon);
  }

  // From the trunk's width to the latents'; each place looks at those before.
  ValueId narrowed(ValueId x) {
    const auto scope = b_.scope("pre_block");
    const int64_t from = c_.trunk, to = c_.latent_channels;
    x = b_.add(b_.linear("proj", norm("norm3", x, from), from, to),
               attention(norm("norm1", x, from)));
    ValueId h = norm("norm2", x, to);
    const auto mlp = b_.scope("mlp");
    h = norm("norm", h, to);
    const int64_t hidden = 2 * to;
    const ValueId gate = b_.gelu_tanh(b_.linear("w0", h, to, hidden));
    return b_.add(x, b_.linear("w2", b_.mul(gate, b_.linear("w1", h, to, hidden)), hidden, to));
  }

  // What the heads see is averaged over them, and over neighbouring channels.
  ValueId attention(ValueId h) {
    const auto scope = b_.scope("attn");
    const int64_t width = c_.trunk;
    const ValueId bias = b_.concat({b_.weight("q_bias", {width}), b_.weight("zero_k_bias", {width}),
                                    b_.weight("v_bias", {width})},
                                   0);
    const auto parts =
        b_.split(b_.add(b_.linear("qkv", h, width, 3 * width, false), bias), 2, width, 3);
    const auto heads = [&](ValueId x) {
      return b_.reshape(x, {rows_, frames_, c_.heads, head_dim()});
    };
    const ValueId y = b_.attention(heads(parts[0]), heads(parts[1]), heads(parts[2]), kNone, kNone,
                                   0, /*causal=*/true);
    const ValueId mean = b_.reduce(OpKind::kReduceMean, y, {2}, /*keep_dims=*/false);
    const int64_t to = c_.latent_channels;
    const ValueId grouped = b_.reshape(mean, {rows_, frames_, to, head_dim() / to});
    return b_.linear("proj", b_.reduce(OpKind::kReduceMean, grouped, {3}, /*keep_dims=*/false), to,
                     to);
  }

  const MiniMaxH3SoundConfig& c_;
  Builder b_;
  const Dim batch_ = Dim::symbol("batch"), frames_ = Dim::symbol("frames");
  const Dim rows_ = batch_ * c_.sides;
};

}  // namespace

Result<Graph> build_minimax_h3_sound_encoder(const MiniMaxH3SoundConfig& config) {
  return EncoderBuilder(config).build();
}

}  // namespace zoetrope
