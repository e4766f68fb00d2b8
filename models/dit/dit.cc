#include "models/dit/dit.h"

#include <cmath>

#include "models/layers.h"

namespace zoetrope {
namespace {

class Builder2d {
 public:
  explicit Builder2d(const DitConfig& config) : c_(config), b_("dit") {}

  Result<Graph> build() {
    const ValueId latents =
        b_.input("latents", DType::kF32, {batch_, height_, width_, c_.channels});
    const ValueId time = b_.input("time", DType::kF32, {batch_}, Rate::kTimestep);
    const ValueId labels = b_.input("labels", DType::kI32, {batch_}, Rate::kClip);
    const std::vector<int64_t> patch{c_.patch, c_.patch};
    x_ = layers::patchify(b_, "x_embedder.proj", latents, {batch_, height_, width_}, c_.channels,
                          c_.width, patch);
    x_ = b_.add(x_, b_.reshape(position_table(), {1, tokens_, c_.width}));
    condition_ = b_.silu(b_.add(embed_time(time), embed_label(labels)));
    for (int64_t i = 0; i < c_.layers; ++i) block(i);
    finish();
    return b_.finish();
  }

 private:
  // [sin, cos] of position · 10000^(−i / (width/4)), first by column, then by row.
  ValueId position_table() {
    const int64_t quarter = c_.width / 4;
    const ValueId frequencies = layers::rope_frequencies(b_, quarter, 10000);
    const std::vector<Dim> grid{rows_, columns_};
    const auto axis = [&](int which) {
      const Dim& count = grid[static_cast<size_t>(which)];
      const ValueId angles = layers::outer(b_, b_.iota(count), frequencies, count, quarter);
      const ValueId waves = b_.concat({b_.sin(angles), b_.cos(angles)}, 1);
      return layers::spread_over_grid(b_, waves, which, grid, 2 * quarter);
    };
    return b_.concat({axis(1), axis(0)}, 1);
  }

  ValueId embed_time(ValueId time) {
    const int64_t half = c_.time_features / 2;
    // diffusers spreads the frequencies over half − 1 intervals: the same as a longer period.
    const double period =
        c_.diffusers ? std::pow(10000.0, static_cast<double>(half) / (half - 1)) : 10000.0;
    const ValueId features =
        layers::timestep_features(b_, time, batch_, c_.time_features, period, 1);
    const auto scope = b_.scope("t_embedder");
    return b_.linear("mlp.2", b_.silu(b_.linear("mlp.0", features, c_.time_features, c_.width)),
                     c_.width, c_.width);
  }

  ValueId embed_label(ValueId labels) {
    return b_.gather(b_.weight("y_embedder.embedding_table.weight", {c_.classes + 1, c_.width}),
                     labels);
  }

  // `count` chunks [B, 1, C] of the conditioning.
  std::vector<ValueId> modulation(int64_t count) {
    const ValueId m = b_.linear("adaLN_modulation.1", condition_, c_.width, count * c_.width);
    return b_.split(b_.reshape(m, {batch_, count, c_.width}), 1, 1, count);
  }

  ValueId attention(ValueId h) {
    const auto scope = b_.scope("attn");
    const int64_t dim = c_.width / c_.heads;
    const ValueId qkv = b_.linear("qkv", h, c_.width, 3 * c_.width);
    std::vector<ValueId> parts = b_.split(qkv, -1, c_.width, 3);
    for (ValueId& part : parts) part = b_.reshape(part, {batch_, tokens_, c_.heads, dim});
    const ValueId y = b_.attention(parts[0], parts[1], parts[2]);
    return b_.linear("proj", b_.reshape(y, {batch_, tokens_, c_.width}), c_.width, c_.width);
  }

  void block(int64_t index) {
    const auto scope = b_.scope("blocks." + std::to_string(index));
    const std::vector<ValueId> m = modulation(6);
    ValueId h = b_.layer_norm(x_, kNone, kNone, 1e-6);
    x_ = b_.add(x_, b_.mul(m[2], attention(layers::modulate(b_, h, m[0], m[1]))));
    h = layers::modulate(b_, b_.layer_norm(x_, kNone, kNone, c_.diffusers ? 1e-5 : 1e-6), m[3],
                         m[4]);
    const int64_t hidden = c_.mlp_ratio * c_.width;
    h = b_.linear("mlp.fc2", b_.gelu_tanh(b_.linear("mlp.fc1", h, c_.width, hidden)), hidden,
                  c_.width);
    x_ = b_.add(x_, b_.mul(m[5], h));
  }

  void finish() {
    const int64_t channels = c_.channels * (c_.learned_variance ? 2 : 1);
    ValueId y;
    {
      const auto scope = b_.scope("final_layer");
      const std::vector<ValueId> m = modulation(2);
      y = layers::modulate(b_, b_.layer_norm(x_, kNone, kNone, 1e-6), m[0], m[1]);
      y = b_.linear("linear", y, c_.width, c_.patch * c_.patch * channels);
    }
    y = layers::unpatchify(b_, y, batch_, {1, rows_, columns_}, channels, {1, c_.patch, c_.patch});
    b_.output("output", b_.reshape(y, {batch_, rows_ * c_.patch, columns_ * c_.patch, channels}));
  }

  const DitConfig& c_;
  Builder b_;
  const Dim batch_ = Dim::symbol("batch"), height_ = Dim::symbol("height"),
            width_ = Dim::symbol("width");
  const Dim rows_ = floor_div(height_, c_.patch), columns_ = floor_div(width_, c_.patch);
  const Dim tokens_ = rows_ * columns_;
  ValueId x_ = kNone, condition_ = kNone;
};

}  // namespace

DitConfig dit_config(char size, int64_t patch) {
  DitConfig c;
  c.patch = patch;
  switch (size) {
    case 's': c.layers = 12, c.width = 384, c.heads = 6; break;
    case 'b': c.layers = 12, c.width = 768, c.heads = 12; break;
    case 'l': c.layers = 24, c.width = 1024, c.heads = 16; break;
    default: c.layers = 28, c.width = 1152, c.heads = 16; break;
  }
  return c;
}

Result<Graph> build_dit(const DitConfig& config) { return Builder2d(config).build(); }

}  // namespace zoetrope
