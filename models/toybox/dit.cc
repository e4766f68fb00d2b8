#include "models/layers.h"
#include "models/toybox/toybox.h"

namespace zoetrope {
namespace {

// One latent video frame is 12.5 audio latents of 0.04 s: the unit of the time axis.
constexpr double kAudioLatentsPerVideoLatent = 12.5;

class DitBuilder {
 public:
  explicit DitBuilder(const ToyboxConfig::Dit& config) : c_(config), b_("dit") {}

  Result<Graph> build() {
    declare_inputs();
    make_rope();
    const auto scope = b_.scope("dit");
    embed_tokens();
    embed_time();
    for (int64_t i = 0; i < c_.layers; ++i) block(i);
    finish_outputs();
    return b_.finish();
  }

 private:
  void declare_inputs() {
    const int64_t cv = c_.video_channels, ca = c_.audio_channels;
    const auto grid = [&](int64_t channels) {
      return std::vector<Dim>{batch_, frames_, height_, width_, channels};
    };
    video_ = b_.input("video", DType::kF32, grid(cv));
    video_known_ = b_.input("video_known", DType::kF32, grid(cv), Rate::kClip);
    video_mask_ = b_.input("video_mask", DType::kF32, grid(1), Rate::kClip);
    audio_ = b_.input("audio", DType::kF32, {batch_, sounds_, ca});
    audio_known_ = b_.input("audio_known", DType::kF32, {batch_, sounds_, ca}, Rate::kClip);
    audio_mask_ = b_.input("audio_mask", DType::kF32, {batch_, sounds_, 1}, Rate::kClip);
    time_ = b_.input("time", DType::kF32, {batch_}, Rate::kTimestep);
    text_ = b_.input("text", DType::kF32, {batch_, text_length_, c_.text_width}, Rate::kClip);
    text_lengths_ = b_.input("text_lengths", DType::kI32, {batch_}, Rate::kClip);
  }

  // positions [n] spread over the video grid along `axis` (0 t, 1 h, 2 w) → [tokens, pairs],
  // followed by the audio tokens' angles [sounds, pairs].
  ValueId axis_angles(int axis, ValueId positions, ValueId audio_positions) {
    const int64_t pairs = c_.rope_pairs[static_cast<size_t>(axis)];
    const ValueId frequencies = layers::rope_frequencies(b_, pairs, c_.rope_theta);
    const std::vector<Dim> sizes{frames_, height_, width_};
    const ValueId angles =
        layers::outer(b_, positions, frequencies, sizes[static_cast<size_t>(axis)], pairs);
    const ValueId grid = layers::spread_over_grid(b_, angles, axis, sizes, pairs);
    return b_.concat({grid, layers::outer(b_, audio_positions, frequencies, sounds_, pairs)}, 0);
  }

  void make_rope() {
    const double unit = kAudioLatentsPerVideoLatent;
    const ValueId still = b_.fill(0, {sounds_});
    const ValueId angles =
        b_.concat({axis_angles(0, b_.iota(frames_, 0.5 * unit, unit), b_.iota(sounds_, 0.5)),
                   axis_angles(1, b_.iota(height_), still), axis_angles(2, b_.iota(width_), still)},
                  1);
    cos_ = b_.reshape(b_.cos(angles), {1, length_, 1, c_.head_dim / 2});
    sin_ = b_.reshape(b_.sin(angles), {1, length_, 1, c_.head_dim / 2});
  }

  // Cell centres of [-1, 1] cut into `count`: (2 i + 1) / count − 1.
  ValueId cell_centres(const Dim& count) {
    const ValueId size = b_.reduce(OpKind::kReduceSum, b_.fill(1, {count}), {0});
    return b_.sub(b_.div(b_.iota(count, 1, 2), size), b_.scalar(1));
  }

  void embed_tokens() {
    const auto axis = [&](const Dim& count, std::vector<Dim> place) {
      const ValueId centres = b_.reshape(cell_centres(count), std::move(place));
      return b_.broadcast(centres, {frames_, height_, width_, 1});
    };
    const ValueId video_at =
        b_.reshape(b_.concat({axis(frames_, {frames_, 1, 1, 1}), axis(height_, {1, height_, 1, 1}),
                              axis(width_, {1, 1, width_, 1})},
                             3),
                   {1, tokens_, 3});
    const ValueId v = b_.reshape(b_.concat({video_, video_known_, video_mask_}, 4),
                                 {batch_, tokens_, 2 * c_.video_channels + 1});
    const ValueId video = b_.add(b_.linear("video_in", v, 2 * c_.video_channels + 1, c_.width),
                                 b_.linear("video_position", video_at, 3, c_.width, false));
    const ValueId audio_at = b_.reshape(cell_centres(sounds_), {1, sounds_, 1});
    const ValueId s = b_.concat({audio_, audio_known_, audio_mask_}, 2);
    const ValueId audio = b_.add(b_.linear("audio_in", s, 2 * c_.audio_channels + 1, c_.width),
                                 b_.linear("audio_position", audio_at, 1, c_.width, false));
    x_ = b_.concat({video, audio}, 1);
  }

  void embed_time() {
    const ValueId features =
        layers::timestep_features(b_, time_, batch_, c_.time_features, c_.time_max_period, 1000);
    embedding_ =
        b_.linear("time_out", b_.silu(b_.linear("time_in", features, c_.time_features, c_.width)),
                  c_.width, c_.width);
    modulation_ =
        b_.reshape(b_.linear("time_projection", b_.silu(embedding_), c_.width, 6 * c_.width),
                   {batch_, 6, c_.width});
  }

  ValueId modulated_norm(ValueId shift, ValueId scale) {
    return layers::modulate(b_, b_.rms_norm(x_, kNone, c_.norm_epsilon), shift, scale);
  }

  void block(int64_t index) {
    const auto scope = b_.scope("blocks." + std::to_string(index));
    const ValueId m = b_.add(modulation_, b_.weight("table", {6, c_.width}));  // [B, 6, C]
    const std::vector<ValueId> parts = b_.split(m, 1, 1, 6);                   // each [B, 1, C]
    layers::AttentionSpec self{c_.width, c_.head_dim, c_.width, c_.norm_epsilon, cos_,
                               sin_,     kNone,       length_,  length_};
    ValueId h = modulated_norm(parts[0], parts[1]);
    x_ = b_.add(x_, b_.mul(parts[2], layers::attention(b_, "attn", h, h, self)));

    const layers::AttentionSpec cross{c_.width,        c_.head_dim, c_.text_width,
                                      c_.norm_epsilon, kNone,       kNone,
                                      text_lengths_,   length_,     text_length_};
    h = b_.rms_norm(x_, b_.weight("cross_norm.weight", {c_.width}), c_.norm_epsilon);
    x_ = b_.add(x_, layers::attention(b_, "cross", h, text_, cross));

    h = modulated_norm(parts[3], parts[4]);
    x_ = b_.add(x_, b_.mul(parts[5], layers::swiglu(b_, "ffn", h, c_.width, c_.ffn)));
  }

  void finish_outputs() {
    const ValueId m = b_.add(b_.reshape(embedding_, {batch_, 1, c_.width}),
                             b_.weight("table", {2, c_.width}));  // [B, 2, C]: shift, scale
    const std::vector<ValueId> parts = b_.split(m, 1, 1, 2);
    x_ = modulated_norm(parts[0], parts[1]);
    const ValueId v =
        b_.linear("video_out", b_.slice(x_, 1, 0, tokens_), c_.width, c_.video_channels);
    b_.output("video_velocity",
              b_.reshape(v, {batch_, frames_, height_, width_, c_.video_channels}));
    b_.output("audio_velocity", b_.linear("audio_out", b_.slice(x_, 1, tokens_, length_), c_.width,
                                          c_.audio_channels));
  }

  const ToyboxConfig::Dit& c_;
  Builder b_;
  const Dim batch_ = Dim::symbol("batch"), frames_ = Dim::symbol("frames");
  const Dim height_ = Dim::symbol("height"), width_ = Dim::symbol("width");
  const Dim sounds_ = Dim::symbol("audio_length"), text_length_ = Dim::symbol("text_length");
  const Dim tokens_ = frames_ * height_ * width_, length_ = tokens_ + sounds_;
  ValueId video_, video_known_, video_mask_, audio_, audio_known_, audio_mask_;
  ValueId time_, text_, text_lengths_, cos_, sin_;
  ValueId embedding_, modulation_, x_;
};

}  // namespace

Result<Graph> build_toybox_dit(const ToyboxConfig::Dit& config) {
  return DitBuilder(config).build();
}

}  // namespace zoetrope
