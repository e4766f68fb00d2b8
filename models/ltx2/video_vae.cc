#include "models/ltx2/video_vae.h"

#include "graph/builder.h"
#include "models/layers.h"

namespace zoetrope {
namespace {

using Change = Ltx2VaeConfig::Change;
using Level = Ltx2VaeConfig::Level;

constexpr double kNormEpsilon = 1e-8;

struct Stride {
  int64_t t, s;  // along time; along rows and columns
  int64_t places() const { return t * s * s; }
};
Stride stride_of(Change change) {
  return {change == Change::kTemporal || change == Change::kBoth ? 2 : 1,
          change == Change::kSpatial || change == Change::kBoth ? 2 : 1};
}

// [batch, t, h, w, c]
struct Video {
  ValueId value;
  Dim t, h, w;
  int64_t c;
};

class VaeBuilder {
 public:
  VaeBuilder(const Ltx2VaeConfig& config, std::string_view name, bool causal, bool reflects)
      : c_(config), b_(std::string(name)), causal_(causal), reflects_(reflects) {}

  Result<Graph> encoder() {
    ZT_RETURN_IF_ERROR(check(c_.encoder));
    ZT_RETURN_IF_ERROR(check_down());
    const int64_t space = c_.space();
    const Dim t = Dim(1) + Dim::symbol("frames") * c_.time();
    const Dim h = height_ * space, w = width_ * space;
    Video x{b_.input("video", DType::kF32, {batch_, t, h, w, c_.channels}), t, h, w, c_.channels};
    x = to_channels(x, {1, c_.patch});
    const auto scope = b_.scope("encoder");
    x = conv("conv_in", exchanged(x, c_.patch, c_.channels), c_.latent_channels);
    for (size_t i = 0; i < c_.encoder.size(); ++i) {
      const auto level = b_.scope("down_blocks." + std::to_string(i));
      x = blocks(x, c_.encoder[i].blocks);
      if (c_.encoder[i].change != Change::kNone) x = down(x, c_.encoder[i]);
    }
    {
      const auto middle = b_.scope("mid_block");
      x = blocks(x, c_.encoder_middle);
    }
    x = conv("conv_out", norm_silu(x), c_.latent_channels + 1);
    b_.output("mean", b_.slice(x.value, 4, 0, c_.latent_channels));
    return b_.finish();
  }

  Result<Graph> decoder() {
    ZT_RETURN_IF_ERROR(check(c_.decoder));
    ZT_RETURN_IF_ERROR(check_up());
    const Dim t = Dim::symbol("frames");
    Video x{b_.input("latents", DType::kF32, {batch_, t, height_, width_, c_.latent_channels}), t,
            height_, width_, c_.latent_channels};
    const auto scope = b_.scope("decoder");
    x = conv("conv_in", x, c_.decoder.front().channels);
    {
      const auto middle = b_.scope("mid_block");
      x = blocks(x, c_.decoder_middle);
    }
    for (size_t i = 0; i < c_.decoder.size(); ++i) {
      const auto level = b_.scope("up_blocks." + std::to_string(i));
      const Level& l = c_.decoder[i];
      const int64_t channels = l.channels / l.narrowing;
      if (x.c / l.narrowing != channels) x = residual("conv_in", x, channels);
      if (l.change != Change::kNone) x = up(x, l, channels);
      x = blocks(x, l.blocks);
    }
    x = conv("conv_out", norm_silu(x), c_.channels * c_.patch * c_.patch);
    b_.output("video", from_channels(exchanged(x, c_.channels, c_.patch), {1, c_.patch}).value);
    return b_.finish();
  }

 private:
  Status check(const std::vector<Level>& levels) const {
    if (c_.channels < 1 || c_.latent_channels < 1 || c_.patch < 1 || levels.empty() ||
        levels.size() > 8)
      return error(Code::kInvalidArgument, "an autoencoder of ", levels.size(), " levels with ",
                   c_.latent_channels, " latent channels and patches of ", c_.patch);
    for (const Level& l : levels)
      if (l.channels < 1 || l.blocks < 0 || l.narrowing < 1 || l.channels % l.narrowing != 0)
        return error(Code::kInvalidArgument, "an autoencoder's level of ", l.channels,
                     " channels and ", l.blocks, " blocks that divides them by ", l.narrowing);
    return Status();
  }
  // What is averaged or copied around a change of size must come out even.
  Status check_down() const {
    int64_t from = c_.latent_channels;
    for (const Level& l : c_.encoder) {
      const int64_t places = stride_of(l.change).places();
      if (l.change == Change::kNone ? l.channels != from
                                    : l.channels % places != 0 || from * places % l.channels != 0)
        return error(Code::kInvalidArgument, "an encoder's level of ", from,
                     " channels cannot make ", l.channels, " of ", places, " places");
      from = l.channels;
    }
    return Status();
  }
  Status check_up() const {
    int64_t from = c_.decoder.front().channels;
    for (const Level& l : c_.decoder) {
      const int64_t places = stride_of(l.change).places(), to = l.channels / l.narrowing;
      const int64_t wide = from / l.narrowing == to ? from : to;  // after a block that adapts
      if (l.change != Change::kNone && wide != l.channels)
        return error(Code::kInvalidArgument, "a decoder's level upsamples ", wide,
                     " channels, expected ", l.channels);
      if (l.change != Change::kNone && l.residual &&
          (wide % places != 0 || places % l.narrowing != 0))
        return error(Code::kInvalidArgument, "a decoder's level cannot copy ", wide,
                     " channels to ", places, " places and 1/", l.narrowing, " of them");
      from = to;
    }
    return Status();
  }

  // A patch's channels: (row, column, colour) here, (colour, column, row) in the checkpoint; the
  // same exchange both ways.
  Video exchanged(Video x, int64_t first, int64_t last) {
    const Dim n = batch_ * x.t * x.h * x.w;
    const ValueId y = b_.transpose(b_.reshape(x.value, {n, first, c_.patch, last}), {0, 3, 2, 1});
    x.value = b_.reshape(y, {batch_, x.t, x.h, x.w, x.c});
    return x;
  }

  // 3×3×3; in time the first frame stands for those before and, unless causal, the last one for
  // those behind.
  Video conv(std::string_view name, const Video& x, int64_t channels) {
    const auto outer = b_.scope(name);
    const auto inner = b_.scope("conv");
    ValueId y =
        b_.pad(x.value, {0, causal_ ? 2 : 1, 0, 0, 0}, {0, causal_ ? 0 : 1, 0, 0, 0}, "replicate");
    const int64_t zeros = reflects_ ? 0 : 1;
    if (reflects_) y = b_.pad(y, {0, 0, 1, 1, 0}, {0, 0, 1, 1, 0}, "reflect");
    y = b_.conv(
        y, b_.weight("weight", {channels, 3, 3, 3, x.c}),
        {.stride = {}, .dilation = {}, .pad_lo = {0, zeros, zeros}, .pad_hi = {0, zeros, zeros}});
    return {b_.op(OpKind::kAdd, {y, b_.weight("bias", {channels})}, {}, "output"), x.t, x.h, x.w,
            channels};
  }

  Video norm_silu(Video x) {
    x.value = b_.silu(b_.rms_norm(x.value, kNone, kNormEpsilon));
    return x;
  }

  Video residual(const std::string& name, Video x, int64_t channels) {
    const auto scope = b_.scope(name);
    const Video h = conv("conv2", norm_silu(conv("conv1", norm_silu(x), channels)), channels);
    if (x.c != channels) {
      const ValueId normed = b_.layer_norm(x.value, b_.weight("norm3.weight", {x.c}),
                                           b_.weight("norm3.bias", {x.c}), c_.epsilon);
      x.value = b_.add(b_.matmul(normed, b_.weight("conv_shortcut.weight", {channels, x.c}), true),
                       b_.weight("conv_shortcut.bias", {channels}));
      x.c = channels;
    }
    x.value = b_.op(OpKind::kAdd, {h.value, x.value}, {}, "output");
    return x;
  }

  Video blocks(Video x, int64_t count) {
    for (int64_t i = 0; i < count; ++i) x = residual("resnets." + std::to_string(i), x, x.c);
    return x;
  }

  // Places of a patch become channels (t, row, column, channel).
  Video to_channels(const Video& x, Stride n) {
    const Dim t = floor_div(x.t, n.t), h = floor_div(x.h, n.s), w = floor_div(x.w, n.s);
    ValueId y = b_.reshape(x.value, {batch_ * t, n.t, h, n.s, w * n.s * x.c});
    y = b_.transpose(y, {0, 2, 1, 3, 4});  // [B·t, h, nt, ns, W·C]
    y = b_.reshape(y, {batch_ * t * h, n.t * n.s, w, n.s * x.c});
    y = b_.transpose(y, {0, 2, 1, 3});
    const int64_t channels = n.places() * x.c;
    return {b_.reshape(y, {batch_, t, h, w, channels}), t, h, w, channels};
  }
  Video from_channels(const Video& x, Stride n) {
    const int64_t channels = x.c / n.places();
    const ValueId y =
        layers::unpatchify(b_, x.value, batch_, {x.t, x.h, x.w}, channels, {n.t, n.s, n.s});
    return {y, x.t * n.t, x.h * n.s, x.w * n.s, channels};
  }

  // Channels that the checkpoint orders (channel, place), as (place, channel), and back.
  ValueId swapped(ValueId x, int64_t first, int64_t second, const Video& at) {
    const Dim n = batch_ * at.t * at.h * at.w;
    const ValueId y = b_.transpose(b_.reshape(x, {n, first, second}), {0, 2, 1});
    return b_.reshape(y, {batch_, at.t, at.h, at.w, first * second});
  }

  Video down(Video x, const Level& level) {
    const auto scope = b_.scope("downsamplers.0");
    const Stride n = stride_of(level.change);
    const int64_t places = n.places(), group = x.c * places / level.channels;
    if (n.t == 2) {  // the first frame twice
      x.value = b_.concat({b_.slice(x.value, 1, 0, 1), x.value}, 1);
      x.t = x.t + 1;
    }
    const Video far = to_channels(x, n);
    const Dim count = batch_ * far.t * far.h * far.w;
    const ValueId grouped =
        b_.reshape(swapped(far.value, places, x.c, far), {count, level.channels, group});
    const ValueId mean = b_.reshape(b_.reduce(OpKind::kReduceMean, grouped, {2}),
                                    {batch_, far.t, far.h, far.w, level.channels});
    Video y = to_channels(conv("conv", x, level.channels / places), n);
    y.value = b_.op(OpKind::kAdd, {swapped(y.value, places, level.channels / places, y), mean}, {},
                    "output");
    return y;
  }

  // Without the first frame that a doubling in time makes of nothing.
  Video without_first(Video x, const Stride& n) {
    if (n.t == 1) return x;
    x.value = b_.slice(x.value, 1, 1, Builder::kToEnd);
    x.t = x.t - 1;
    return x;
  }

  Video up(const Video& x, const Level& level, int64_t channels) {
    const auto scope = b_.scope("upsamplers.0");
    const Stride n = stride_of(level.change);
    const int64_t places = n.places();
    Video h = conv("conv", x, channels * places);
    h.value = swapped(h.value, channels, places, h);
    h = without_first(from_channels(h, n), n);
    if (!level.residual) {
      h.value = b_.op(OpKind::kReshape, {h.value},
                      {{"dims", std::vector<Dim>{batch_, h.t, h.h, h.w, h.c}}}, "output");
      return h;
    }
    Video copy = x;
    copy.value = swapped(copy.value, x.c / places, places, x);
    copy = without_first(from_channels(copy, n), n);
    const std::vector<ValueId> copies(static_cast<size_t>(places / level.narrowing), copy.value);
    h.value = b_.op(OpKind::kAdd, {h.value, copies.size() == 1 ? copies[0] : b_.concat(copies, 4)},
                    {}, "output");
    return h;
  }

  const Ltx2VaeConfig& c_;
  Builder b_;
  const bool causal_, reflects_;
  const Dim batch_ = Dim::symbol("batch");
  const Dim height_ = Dim::symbol("height"), width_ = Dim::symbol("width");
};

}  // namespace

int64_t Ltx2VaeConfig::space() const {
  int64_t factor = patch;
  for (const Level& l : encoder) factor *= stride_of(l.change).s;
  return factor;
}
int64_t Ltx2VaeConfig::time() const {
  int64_t factor = 1;
  for (const Level& l : encoder) factor *= stride_of(l.change).t;
  return factor;
}

Ltx2VaeConfig ltx2_3_vae() {
  Ltx2VaeConfig c;
  c.encoder = {{256, 4, Change::kSpatial},
               {512, 6, Change::kTemporal},
               {1024, 4, Change::kBoth},
               {1024, 2, Change::kBoth}};
  c.decoder = {{1024, 2, Change::kBoth, false, 2},
               {512, 4, Change::kBoth, false, 1},
               {512, 6, Change::kTemporal, false, 2},
               {256, 4, Change::kSpatial, false, 2}};
  c.decoder_middle = 2;
  c.decoder_reflects = false;
  return c;
}

Result<Graph> build_ltx2_video_encoder(const Ltx2VaeConfig& config) {
  return VaeBuilder(config, "encoder", config.encoder_causal, config.encoder_reflects).encoder();
}
Result<Graph> build_ltx2_video_decoder(const Ltx2VaeConfig& config) {
  return VaeBuilder(config, "decoder", config.decoder_causal, config.decoder_reflects).decoder();
}

}  // namespace zoetrope
