#include "models/wan/vae.h"

#include <algorithm>

#include "graph/builder.h"

namespace zoetrope {
namespace {

// The norm divides by max(|x|, 1e-12), the Euclidean norm over channels. What is smaller than this
// is noise behind a zero, so that bound may as well be added to the mean square.
constexpr double kEpsilon = 1e-24;

// [batch, t, h, w, c]
struct Video {
  ValueId value;
  Dim t, h, w;
  int64_t c;
};

class WanVaeBuilder {
 public:
  WanVaeBuilder(const WanVaeConfig& config, ClipPart part, const std::string& name)
      : c_(config),
        first_(part == ClipPart::kFirst),
        b_(first_ ? name + "_first" : name),
        frames_(first_ ? Dim(1) : Dim::symbol("frames")) {}

  Result<Graph> encoder() {
    ZT_RETURN_IF_ERROR(check());
    const Dim t = first_ ? Dim(1) : frames_ * c_.time();
    const ValueId video = b_.input("video", DType::kF32, {batch_, t, rows_, columns_, pixels_});
    Video x = to_patches({video, t, rows_, columns_, pixels_});
    {
      const auto scope = b_.scope("encoder");
      x = conv("conv_in", x, c_.encoder_width);
      if (c_.shortcuts)
        for (size_t i = 0; i < c_.levels.size(); ++i) x = residual_down_level(x, i);
      else
        x = plain_down_levels(x);
      x = conv("conv_out", norm_silu("norm_out", middle(x)), 2 * c_.latent_channels);
    }
    x = pointwise("quant_conv", x, 2 * c_.latent_channels);
    const std::vector<ValueId> moments = b_.split(x.value, -1, c_.latent_channels, 2);
    b_.output("mean", moments[0]);
    b_.output("log_variance", moments[1]);
    return b_.finish();
  }

  Result<Graph> decoder() {
    ZT_RETURN_IF_ERROR(check());
    const ValueId latents =
        b_.input("latents", DType::kF32, {batch_, frames_, rows_, columns_, c_.latent_channels});
    Video x{latents, frames_, rows_, columns_, c_.latent_channels};
    x = pointwise("post_quant_conv", x, c_.latent_channels);
    {
      const auto scope = b_.scope("decoder");
      x = middle(conv("conv_in", x, c_.decoder_width * c_.levels.back()));
      for (size_t i = 0; i < c_.levels.size(); ++i) x = up_level(x, i);
      x = conv("conv_out", norm_silu("norm_out", x), pixels_ * c_.patch * c_.patch);
    }
    const ValueId video = from_patches(x).value;
    b_.output("video",
              b_.op(OpKind::kMax, {b_.op(OpKind::kMin, {video, b_.scalar(1)}), b_.scalar(-1)}));
    return b_.finish();
  }

 private:
  Status check() const {
    const auto positive = [](int64_t n) { return n >= 1 && n <= 1 << 20; };
    if (!positive(c_.latent_channels) || !positive(c_.encoder_width) ||
        !positive(c_.decoder_width) || !positive(c_.blocks) || !positive(c_.image_channels) ||
        !positive(c_.patch) || !std::all_of(c_.levels.begin(), c_.levels.end(), positive))
      return error(Code::kInvalidArgument, "an autoencoder's sizes must be positive");
    if (c_.levels.empty() || c_.levels.size() > 8 || c_.halves_time.size() + 1 != c_.levels.size())
      return error(Code::kInvalidArgument, "an autoencoder of ", c_.levels.size(),
                   " levels cannot change its length ", c_.halves_time.size(),
                   " times; expected one less, and at most 8 levels");
    ZT_RETURN_IF_ERROR(check_shortcuts());
    for (size_t i = 1; !c_.shortcuts && i < c_.levels.size(); ++i)
      if (c_.decoder_width * c_.levels[i] % 2 != 0)
        return error(Code::kInvalidArgument, "the decoder halves ", c_.decoder_width * c_.levels[i],
                     " channels of level ", i);
    return Status();
  }

  // What is averaged or copied must come out even.
  Status check_shortcuts() const {
    for (size_t i = 0; c_.shortcuts && i < c_.levels.size(); ++i) {
      const int64_t here = c_.levels[i], finer = c_.levels[i == 0 ? 0 : i - 1];
      const int64_t down = (halves(i) ? 2 : 1) * (coarsest(i) ? 1 : 4);
      const int64_t up = i == 0 ? 1 : (halves(i - 1) ? 2 : 1) * 4;
      const int64_t coarser = c_.levels[coarsest(i) ? i : i + 1];
      if ((i == 0 ? 1 : finer) * down % here != 0 || (i > 0 && here * up % coarser != 0))
        return error(Code::kInvalidArgument, "level ", i, " of an autoencoder with shortcuts has ",
                     here, " times the channels, which averages and copies of its neighbours' (",
                     finer, ", ", coarser, ") cannot fill");
    }
    return Status();
  }

  ValueId named_add(ValueId x, ValueId y) { return b_.op(OpKind::kAdd, {x, y}, {}, "output"); }
  Video biased(ValueId y, const Video& like, int64_t channels) {
    return {named_add(y, b_.weight("bias", {channels})), like.t, like.h, like.w, channels};
  }

  // The last `kept` frames that the calls before have seen, then x; in the first call x alone, and
  // zeros stand for what was before. The next call's state is what is last of that.
  ValueId with_past(const Video& x, int64_t kept) {
    const ValueId state = b_.state_input("state", DType::kF32, {batch_, kept, x.h, x.w, x.c});
    if (first_) {
      b_.state(state,
               kept == 1 ? x.value : b_.pad(x.value, {0, kept - 1, 0, 0, 0}, {0, 0, 0, 0, 0}));
      return x.value;
    }
    const ValueId all = b_.concat({state, x.value}, 1);
    b_.state(state, b_.slice(all, 1, x.t, x.t + kept));
    return all;
  }

  // 3×3×3, causal in time.
  Video conv(std::string_view name, const Video& x, int64_t channels) {
    const auto scope = b_.scope(name);
    const ValueId y = b_.conv(
        with_past(x, 2), b_.weight("weight", {channels, 3, 3, 3, x.c}),
        {.stride = {}, .dilation = {}, .pad_lo = {first_ ? 2 : 0, 1, 1}, .pad_hi = {0, 1, 1}});
    return biased(y, x, channels);
  }

  // 1×1×1
  Video pointwise(std::string_view name, Video x, int64_t channels) {
    const auto scope = b_.scope(name);
    const ValueId y = b_.matmul(x.value, b_.weight("weight", {channels, x.c}), true);
    return biased(y, x, channels);
  }

  // Of [batch·t, h, w, c]; the frames are pictures here.
  ValueId pictures(const Video& x) { return b_.reshape(x.value, {batch_ * x.t, x.h, x.w, x.c}); }
  Video clip(ValueId y, const Dim& t, const Dim& h, const Dim& w, int64_t channels) {
    return {b_.reshape(y, {batch_, t, h, w, channels}), t, h, w, channels};
  }

  ValueId norm(std::string_view name, const Video& x) {
    const auto scope = b_.scope(name);
    return b_.rms_norm(x.value, b_.weight("gamma", {x.c}), kEpsilon);
  }
  Video norm_silu(std::string_view name, Video x) {
    x.value = b_.silu(norm(name, x));
    return x;
  }

  Video residual(const std::string& name, Video x, int64_t channels) {
    const auto scope = b_.scope(name);
    const Video h =
        conv("conv2", norm_silu("norm2", conv("conv1", norm_silu("norm1", x), channels)), channels);
    if (x.c != channels) x = pointwise("conv_shortcut", x, channels);
    x.value = named_add(h.value, x.value);
    return x;
  }

  // Single-head attention over the positions of a frame.
  Video attention(std::string_view name, Video x) {
    const auto scope = b_.scope(name);
    const Dim pictures = batch_ * x.t, positions = x.h * x.w;
    const ValueId h = b_.reshape(norm("norm", x), {pictures, positions, x.c});
    const std::vector<ValueId> qkv = b_.split(b_.linear("to_qkv", h, x.c, 3 * x.c), -1, x.c, 3);
    const auto head = [&](ValueId y) { return b_.reshape(y, {pictures, positions, 1, x.c}); };
    const ValueId y = b_.reshape(b_.attention(head(qkv[0]), head(qkv[1]), head(qkv[2])),
                                 {pictures, positions, x.c});
    const Video out = clip(b_.linear("proj", y, x.c, x.c), x.t, x.h, x.w, x.c);
    x.value = named_add(out.value, x.value);
    return x;
  }

  Video middle(Video x) {
    const auto scope = b_.scope("mid_block");
    return residual("resnets.1", attention("attentions.0", residual("resnets.0", x, x.c)), x.c);
  }

  // Half as wide and high, zeros below and to the right; where `in_time`, half as long.
  Video downsample(std::string_view name, const Video& x, bool in_time) {
    const auto scope = b_.scope(name);
    const Dim h = floor_div(x.h, 2), w = floor_div(x.w, 2);
    Video y;
    {
      const auto spatial = b_.scope("resample.1");
      const ValueId z =
          b_.conv(pictures(x), b_.weight("weight", {x.c, 3, 3, x.c}),
                  {.stride = {2, 2}, .dilation = {}, .pad_lo = {0, 0}, .pad_hi = {1, 1}});
      y = clip(named_add(z, b_.weight("bias", {x.c})), x.t, h, w, x.c);
    }
    if (!in_time) return y;
    const auto temporal = b_.scope("time_conv");
    const ValueId all = with_past(y, 1);
    if (first_) return y;  // the first frame stands alone
    const ValueId z = b_.conv(all, b_.weight("weight", {x.c, 3, 1, 1, x.c}),
                              {.stride = {2, 1, 1}, .dilation = {}, .pad_lo = {}, .pad_hi = {}});
    y.t = floor_div(y.t, 2);
    return biased(z, y, x.c);
  }

  // Twice as wide and high; where `in_time`, twice as long.
  Video upsample(std::string_view name, Video x, bool in_time, int64_t channels) {
    const auto scope = b_.scope(name);
    if (in_time) {
      const auto temporal = b_.scope("time_conv");
      x = twice_as_long(x);
    }
    x.value = b_.repeat(b_.repeat(x.value, 2, 2), 3, 2);
    x.h = x.h * 2, x.w = x.w * 2;
    const auto spatial = b_.scope("resample.1");
    const ValueId z = b_.conv(pictures(x), b_.weight("weight", {channels, 3, 3, x.c}),
                              {.stride = {}, .dilation = {}, .pad_lo = {1, 1}, .pad_hi = {1, 1}});
    return clip(named_add(z, b_.weight("bias", {channels})), x.t, x.h, x.w, channels);
  }
  // A convolution gives two frames in twice the channels. The clip's first frame stays one, and the
  // convolution never sees it.
  Video twice_as_long(const Video& x) {
    if (first_) {
      const std::vector<Dim> dims{batch_, 2, x.h, x.w, x.c};
      b_.state(b_.state_input("state", DType::kF32, dims), b_.fill(0, dims));
      return x;
    }
    const ValueId z = b_.conv(with_past(x, 2), b_.weight("weight", {2 * x.c, 3, 1, 1, x.c}),
                              {.stride = {}, .dilation = {}, .pad_lo = {}, .pad_hi = {}});
    const Video pairs = biased(z, x, 2 * x.c);
    const ValueId apart =
        b_.transpose(b_.reshape(pairs.value, {batch_ * x.t, x.h * x.w, 2, x.c}), {0, 2, 1, 3});
    return clip(apart, x.t * 2, x.h, x.w, x.c);
  }

  bool halves(size_t level) const { return level < c_.halves_time.size() && c_.halves_time[level]; }
  bool coarsest(size_t level) const { return level + 1 == c_.levels.size(); }

  // 2.1 counts blocks and downsamplers of all levels through.
  Video plain_down_levels(Video x) {
    int64_t index = 0;
    const auto next = [&] { return "down_blocks." + std::to_string(index++); };
    for (size_t level = 0; level < c_.levels.size(); ++level) {
      for (int64_t i = 0; i < c_.blocks; ++i)
        x = residual(next(), x, c_.encoder_width * c_.levels[level]);
      if (!coarsest(level)) x = downsample(next(), x, halves(level));
    }
    return x;
  }

  Video residual_down_level(Video x, size_t level) {
    const auto scope = b_.scope("down_blocks." + std::to_string(level));
    const bool last = coarsest(level);
    const int64_t channels = c_.encoder_width * c_.levels[level];
    const ValueId shortcut = averages(x, channels, halves(level) ? 2 : 1, last ? 1 : 2);
    for (int64_t i = 0; i < c_.blocks; ++i)
      x = residual("resnets." + std::to_string(i), x, channels);
    if (!last) x = downsample("downsampler", x, halves(level));
    x.value = named_add(x.value, shortcut);
    return x;
  }

  Video up_level(Video x, size_t index) {
    const auto scope = b_.scope("up_blocks." + std::to_string(index));
    const size_t level = c_.levels.size() - 1 - index;
    const bool last = level == 0, in_time = !last && halves(level - 1);
    const int64_t channels = c_.decoder_width * c_.levels[level];
    const Video before = x;
    for (int64_t i = 0; i <= c_.blocks; ++i)
      x = residual("resnets." + std::to_string(i), x, channels);
    if (last) return x;
    if (!c_.shortcuts) return upsample("upsamplers.0", x, in_time, channels / 2);
    x = upsample("upsampler", x, in_time, channels);
    x.value = named_add(x.value, copies(before, channels, in_time ? 2 : 1, 2));
    return x;
  }

  // Channels, ft frames and fs × fs positions in this order are joined, and every `channels`-th
  // part of them averaged. A frame alone has zeros before it.
  ValueId averages(Video x, int64_t channels, int64_t ft, int64_t fs) {
    if (ft > 1 && first_) {
      x.value = b_.pad(x.value, {0, ft - 1, 0, 0, 0}, {0, 0, 0, 0, 0});
      x.t = x.t + (ft - 1);
    }
    const Dim t = floor_div(x.t, ft), h = floor_div(x.h, fs), w = floor_div(x.w, fs);
    ValueId y = b_.reshape(x.value, {batch_ * x.t * h, fs, w, fs, x.c});
    y = b_.transpose(y, {0, 2, 4, 1, 3});  // [B·T·h, w, C, fs, fs]
    y = b_.reshape(y, {batch_ * t, ft, h * w, x.c, fs * fs});
    y = b_.transpose(y, {0, 2, 3, 1, 4});  // [B·t, h·w, C, ft, fs·fs]
    const int64_t parts = x.c * ft * fs * fs / channels;
    y = b_.reshape(y, {batch_, t, h, w, channels, parts});
    return b_.reduce(OpKind::kReduceMean, y, {5}, /*keep_dims=*/false);
  }

  // Channels are repeated until they are `channels` · ft · fs · fs, in this order, and spread over
  // frames and positions. Of the clip's first frame only the last of its ft copies is left.
  ValueId copies(const Video& x, int64_t channels, int64_t ft, int64_t fs) {
    ValueId y = b_.repeat(x.value, 4, channels * ft * fs * fs / x.c);
    y = b_.reshape(y, {batch_ * x.t, x.h * x.w, channels, ft, fs * fs});
    y = b_.transpose(y, {0, 3, 1, 2, 4});  // [B·t, ft, h·w, C, fs·fs]
    y = b_.reshape(y, {batch_ * x.t * ft * x.h, x.w, channels, fs, fs});
    y = b_.transpose(y, {0, 3, 1, 4, 2});  // [B·t·ft·h, fs, w, fs, C]
    y = b_.reshape(y, {batch_, x.t * ft, x.h * fs, x.w * fs, channels});
    return first_ && ft > 1 ? b_.slice(y, 1, ft - 1, Builder::kToEnd) : y;
  }

  // Channel (c·p + column)·p + row of 1/p of the rows and columns, and back.
  Video to_patches(const Video& x) {
    const int64_t p = c_.patch, channels = x.c * p * p;
    if (p == 1) return x;
    const Dim h = floor_div(x.h, p), w = floor_div(x.w, p);
    const ValueId y = b_.reshape(x.value, {batch_ * x.t * h, p, w, p, x.c});
    return clip(b_.transpose(y, {0, 2, 4, 3, 1}), x.t, h, w, channels);
  }
  Video from_patches(const Video& x) {
    const int64_t p = c_.patch, channels = x.c / (p * p);
    if (p == 1) return x;
    const ValueId y = b_.reshape(x.value, {batch_ * x.t * x.h, x.w, channels, p, p});
    return clip(b_.transpose(y, {0, 4, 1, 3, 2}), x.t, x.h * p, x.w * p, channels);
  }

  const WanVaeConfig& c_;
  const bool first_;
  Builder b_;
  const Dim batch_ = Dim::symbol("batch"), frames_;
  const Dim rows_ = Dim::symbol("height"), columns_ = Dim::symbol("width");
  const int64_t pixels_ = c_.image_channels;
};

}  // namespace

int64_t WanVaeConfig::time() const {
  return int64_t{1} << std::count(halves_time.begin(), halves_time.end(), true);
}

WanVaeConfig wan_vae_2_2() {
  return {.latent_channels = 48,
          .encoder_width = 160,
          .decoder_width = 256,
          .levels = {1, 2, 4, 4},
          .blocks = 2,
          .halves_time = {false, true, true},
          .shortcuts = true,
          .patch = 2,
          .image_channels = 3};
}

Result<Graph> build_wan_vae_encoder(const WanVaeConfig& config, ClipPart part) {
  return WanVaeBuilder(config, part, "encoder").encoder();
}
Result<Graph> build_wan_vae_decoder(const WanVaeConfig& config, ClipPart part) {
  return WanVaeBuilder(config, part, "decoder").decoder();
}

}  // namespace zoetrope
