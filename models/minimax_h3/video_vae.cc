#include "models/minimax_h3/video_vae.h"

#include <cmath>
#include <numbers>
#include <string>

#include "models/layers.h"

namespace zoetrope {
namespace {

// [batch, t, h, w, c]
struct Video {
  ValueId value;
  Dim t, h, w;
  int64_t c;
};

Status check_sizes(const MiniMaxH3VaeConfig& c) {
  std::vector<int64_t> levels;
  for (const auto& level : c.levels) levels.push_back(level.channels);
  ZT_RETURN_IF_ERROR(layers::check_levels(
      levels, c.groups, {c.channels, c.latent_channels, c.blocks, c.clip_length}));
  for (const auto& level : c.levels)
    if (level.space < 1 || level.space > 2 || level.time < 1 || level.time > 2 ||
        (level.time == 2 && level.space == 1))
      return error(Code::kUnsupported, "a level that divides frames by ", level.time,
                   " and their sides by ", level.space,
                   ": expected 1 or 2, and time only together with sides");
  if (c.channels != static_cast<int64_t>(c.pixel_mean.size()) ||
      c.channels != static_cast<int64_t>(c.pixel_deviation.size()))
    return error(Code::kInvalidArgument, "frames of ", c.channels, " channels with means of ",
                 c.pixel_mean.size());
  if (c.token_drop < 0 || c.token_drop > c.chunk())
    return error(Code::kInvalidArgument, c.token_drop, " latents dropped of ", c.chunk());
  if (c.overlap() > c.piece() / 2)
    return error(Code::kUnsupported, "pieces of ", c.piece(), " latents that share ", c.overlap());
  return Status();
}

// One number a channel.
ValueId numbers(Builder& b, const std::vector<double>& values) {
  std::vector<ValueId> parts;
  for (const double value : values) parts.push_back(b.fill(value, {1}));
  return b.concat(parts, 0);
}

class EncoderBuilder {
 public:
  explicit EncoderBuilder(const MiniMaxH3VaeConfig& config) : c_(config), b_("encoder") {}

  Result<Graph> build() {
    ZT_RETURN_IF_ERROR(check_sizes(c_));
    const int64_t space = c_.space();
    const Dim t = Dim(1) + Dim::symbol("frames") * c_.time();
    const Dim h = Dim::symbol("height") * space, w = Dim::symbol("width") * space;
    Video x{b_.input("video", DType::kF32, {batch_, t, h, w, c_.channels}), t, h, w, c_.channels};
    const ValueId unit = b_.mul(b_.add(x.value, b_.scalar(1)), b_.scalar(0.5));
    x.value = b_.div(b_.sub(unit, numbers(b_, c_.pixel_mean)), numbers(b_, c_.pixel_deviation));
    {
      const auto scope = b_.scope("encoder");
      x = conv("conv_in", x, c_.levels.front().channels);
      for (size_t i = 0; i < c_.levels.size(); ++i) {
        const auto level = b_.scope("down_blocks." + std::to_string(i));
        for (int64_t k = 0; k < c_.blocks; ++k)
          x = residual("resnets." + std::to_string(k), x, c_.levels[i].channels);
        if (c_.levels[i].space * c_.levels[i].time > 1) x = down(x, c_.levels[i]);
      }
      x = conv("conv_out", norm_silu("norm_out", x), 2 * c_.latent_channels);
    }
    const ValueId moments = b_.linear("quant_conv", x.value, x.c, x.c);
    b_.output("mean", b_.slice(moments, 4, 0, c_.latent_channels));
    const ValueId variance = b_.slice(moments, 4, c_.latent_channels, Builder::kToEnd);
    const ValueId bounded =
        b_.op(OpKind::kMin, {b_.op(OpKind::kMax, {variance, b_.scalar(-30)}), b_.scalar(20)});
    b_.output("deviation", b_.exp(b_.mul(bounded, b_.scalar(0.5))));
    return b_.finish();
  }

 private:
  // Nothing stands before the first frame.
  Video conv(std::string_view name, Video x, int64_t channels, int64_t kernel = 3,
             const MiniMaxH3VaeConfig::Level& by = {0, 1, 1}) {
    const auto scope = b_.scope(name);
    const bool strides = by.space > 1;
    const int64_t before = strides || kernel == 1 ? 0 : 1, after = kernel == 1 ? 0 : 1;
    ValueId y = x.value;
    if (after > 0)
      y = b_.pad(y, {0, 0, before, before, 0}, {0, 0, after, after, 0},
                 c_.reflects ? "reflect" : "constant");
    y = b_.conv(y, b_.weight("weight", {channels, kernel, kernel, kernel, x.c}),
                {.stride = {by.time, by.space, by.space},
                 .dilation = {},
                 .pad_lo = {kernel - 1, 0, 0},
                 .pad_hi = {0, 0, 0}});
    x.value = b_.add(y, b_.weight("bias", {channels}));
    x.c = channels;
    x.t = floor_div(x.t - 1, by.time) + 1;
    x.h = floor_div(x.h, by.space);
    x.w = floor_div(x.w, by.space);
    return x;
  }

  // Each frame by itself.
  Video norm_silu(const std::string& name, Video x) {
    const ValueId rows = b_.reshape(x.value, {batch_ * x.t, x.h, x.w, x.c});
    const ValueId normed = b_.group_norm(rows, b_.weight(name + ".weight", {x.c}),
                                         b_.weight(name + ".bias", {x.c}), c_.groups, c_.epsilon);
    x.value = b_.silu(b_.reshape(normed, {batch_, x.t, x.h, x.w, x.c}));
    return x;
  }

  Video residual(const std::string& name, Video x, int64_t channels) {
    const auto scope = b_.scope(name);
    const Video h = conv("conv1", norm_silu("norm1", x), channels);
    const Video y = conv("conv2", norm_silu("norm2", h), channels);
    if (x.c != channels) x = conv("conv_shortcut", x, channels, 1);
    x.value = b_.op(OpKind::kAdd, {x.value, y.value}, {}, "output");
    return x;
  }

  Video down(const Video& x, const MiniMaxH3VaeConfig::Level& level) {
    const auto scope = b_.scope("downsamplers.0");
    return conv("conv", x, level.channels, 3, level);
  }

  const MiniMaxH3VaeConfig& c_;
  Builder b_;
  const Dim batch_ = Dim::symbol("batch");
};

class DecoderBuilder {
 public:
  explicit DecoderBuilder(const MiniMaxH3VaeConfig& config) : c_(config), b_("decoder") {}

  Result<Graph> build() {
    ZT_RETURN_IF_ERROR(check());
    const ValueId latents =
        b_.input("latents", DType::kF32, {batch_, c_.piece(), height_, width_, c_.latent_channels});
    const ValueId after =
        b_.linear("post_quant_conv", latents, c_.latent_channels, c_.latent_channels);
    const auto scope = b_.scope("decoder");
    ValueId x = b_.linear("proj_in", b_.reshape(after, {batch_, tokens_, c_.latent_channels}),
                          c_.latent_channels, width());
    const ValueId registers = b_.broadcast(b_.weight("register_tokens", {1, c_.registers, width()}),
                                           {batch_, c_.registers, width()});
    x = b_.concat({x, registers, b_.fill(0, {batch_, 1, width()})}, 1);
    rope_ = positions();
    for (int64_t i = 0; i < c_.layers; ++i) x = block(x, i);
    x = b_.layer_norm(b_.slice(x, 1, 0, tokens_), b_.weight("norm_out.weight", {width()}),
                      b_.weight("norm_out.bias", {width()}), c_.decoder_epsilon);
    const int64_t time = c_.time(), space = c_.space();
    b_.output("video",
              pixels(b_.linear("proj_out", x, width(), c_.channels * time * space * space)));
    return b_.finish();
  }

 private:
  Status check() const {
    ZT_RETURN_IF_ERROR(check_sizes(c_));
    for (const int64_t size : {c_.layers, c_.heads, c_.head_dim, c_.registers, c_.ffn_factor})
      if (size < 1 || size > 1 << 16)
        return error(Code::kInvalidArgument, "a decoder of video with a size of ", size);
    if (rope_dim() < 6 || rope_dim() % 6 != 0 || rope_dim() > c_.head_dim)
      return error(Code::kInvalidArgument, "a decoder that rotates ", rope_dim(), " of a head's ",
                   c_.head_dim, " channels: expected a multiple of six, for three axes");
    return Status();
  }
  int64_t width() const { return c_.heads * c_.head_dim; }
  int64_t rope_dim() const {
    return static_cast<int64_t>(static_cast<double>(c_.head_dim) * c_.rope_dim_ratio);
  }

  // Middles of latents in [−1, 1) by full turns; what is behind the latents stands at 0.
  layers::RopeTables positions() {
    const int64_t f = rope_dim() / 6, behind = c_.registers + 1;
    const double step = std::log(c_.theta) / static_cast<double>(f);
    const ValueId powers = b_.cast(b_.exp(b_.iota(f, 0, step, DType::kF64)), DType::kF32);
    const ValueId frequencies = b_.div(b_.scalar(1), powers);
    const std::vector<Dim> grid{c_.piece(), height_, width_};
    std::vector<ValueId> angles;
    for (int axis = 0; axis < 3; ++axis) {
      const Dim n = grid[static_cast<size_t>(axis)];
      const ValueId count = b_.slice(b_.iota(n, 1, 1), 0, -1, Builder::kToEnd);
      const ValueId at = b_.sub(b_.mul(b_.div(b_.iota(n, 0.5), count), b_.scalar(2)), b_.scalar(1));
      const ValueId turns = b_.mul(at, b_.scalar(2 * std::numbers::pi));
      angles.push_back(
          layers::spread_over_grid(b_, layers::outer(b_, turns, frequencies, n, f), axis, grid, f));
    }
    const ValueId all = b_.pad(b_.concat(angles, 1), {0, 0}, {behind, 0});
    const std::vector<Dim> shape{1, tokens_ + behind, 1, 3 * f};
    return {b_.reshape(b_.cos(all), shape), b_.reshape(b_.sin(all), shape)};
  }

  ValueId heads(std::string_view name, ValueId h) {
    return b_.reshape(b_.linear(name, h, width(), width()),
                      {batch_, tokens_ + (c_.registers + 1), c_.heads, c_.head_dim});
  }
  // Of a head's channels the first ones are rotated.
  ValueId rotated_heads(std::string_view name, ValueId h) {
    const ValueId x = b_.rms_norm(heads(name, h), kNone, c_.decoder_epsilon);
    const ValueId y = b_.rope(b_.slice(x, 3, 0, rope_dim()), rope_.cos, rope_.sin, "split");
    return rope_dim() == c_.head_dim
               ? y
               : b_.concat({y, b_.slice(x, 3, rope_dim(), Builder::kToEnd)}, 3);
  }

  ValueId attention(ValueId h) {
    const auto scope = b_.scope("attn");
    const ValueId q = rotated_heads("to_q", h), k = rotated_heads("to_k", h);
    const ValueId y = b_.attention(q, k, heads("to_v", h));
    const Dim n = tokens_ + (c_.registers + 1);
    return b_.linear("to_out.0", b_.reshape(y, {batch_, n, width()}), width(), width());
  }

  ValueId feed_forward(ValueId h) {
    const int64_t ffn = c_.ffn_factor * width();
    const auto parts = b_.split(b_.linear("ff.net.0.proj", h, width(), 2 * ffn), 2, ffn, 2);
    return b_.linear("ff.net.2", b_.mul(parts[0], b_.silu(parts[1])), ffn, width());
  }

  ValueId block(ValueId x, int64_t index) {
    const auto scope = b_.scope("transformer_blocks." + std::to_string(index));
    const auto norm = [&](const std::string& name) {
      return b_.rms_norm(x, b_.weight(name + ".weight", {width()}), c_.decoder_epsilon);
    };
    x = b_.add(x, b_.mul(attention(norm("norm1")), b_.weight("scale1", {width()})));
    const ValueId y = b_.mul(feed_forward(norm("norm2")), b_.weight("scale2", {width()}));
    return b_.op(OpKind::kAdd, {x, y}, {}, "output");
  }

  // Tokens [batch, tokens, c · time · space · space] to frames: columns, rows, then colours last.
  ValueId pixels(ValueId x) {
    const int64_t t = c_.time(), s = c_.space(), c = c_.channels;
    const Dim n = batch_ * c_.piece(), h = height_ * s, w = width_ * s;
    x = b_.transpose(b_.reshape(x, {n * height_, width_, c * t * s, s}), {0, 2, 1, 3});
    x = b_.transpose(b_.reshape(x, {n, height_, c * t, s, w}), {0, 2, 1, 3, 4});
    x = b_.transpose(b_.reshape(x, {n, c, t, h * w}), {0, 2, 3, 1});
    x = frames(b_.reshape(x, {batch_, c_.piece() * t, h * w, c}));
    x = b_.add(b_.mul(x, numbers(b_, c_.pixel_deviation)), numbers(b_, c_.pixel_mean));
    x = b_.sub(b_.mul(x, b_.scalar(2)), b_.scalar(1));
    return b_.reshape(x, {batch_, c_.piece_frames(), h, w, c});
  }
  // Without what the first latent of each chunk gives before its own frames.
  ValueId frames(ValueId x) {
    const int64_t whole = c_.chunk() * c_.time(), before = c_.time() - c_.first_frames();
    const ValueId first = b_.slice(x, 1, before, whole);
    if (c_.overlap() == 0) return first;
    return b_.concat({first, b_.slice(x, 1, whole + before, Builder::kToEnd)}, 1);
  }

  const MiniMaxH3VaeConfig& c_;
  Builder b_;
  const Dim batch_ = Dim::symbol("batch");
  const Dim height_ = Dim::symbol("height"), width_ = Dim::symbol("width");
  const Dim tokens_ = height_ * width_ * c_.piece();
  layers::RopeTables rope_{kNone, kNone};
};

}  // namespace

int64_t MiniMaxH3VaeConfig::space() const {
  int64_t factor = 1;
  for (const Level& level : levels) factor *= level.space;
  return factor;
}
int64_t MiniMaxH3VaeConfig::time() const {
  int64_t factor = 1;
  for (const Level& level : levels) factor *= level.time;
  return factor;
}

Result<Graph> build_minimax_h3_video_encoder(const MiniMaxH3VaeConfig& config) {
  return EncoderBuilder(config).build();
}
Result<Graph> build_minimax_h3_video_decoder(const MiniMaxH3VaeConfig& config) {
  return DecoderBuilder(config).build();
}

}  // namespace zoetrope
