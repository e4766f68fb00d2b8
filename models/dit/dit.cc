#include "models/dit/dit.h"

#include <cmath>

#include "models/layers.h"

namespace zoetrope {
namespace {

class Builder2d {
 public:
  explicit Builder2d(const DitConfig& config) : c_(config), b_("dit") {}

  Result<Graph> build() {
    ZT_RETURN_IF_ERROR(check());
    const ValueId latents =
        b_.input("latents", DType::kF32, {batch_, height_, width_, c_.channels});
    time_ = b_.input("time", DType::kF32, {batch_}, Rate::kTimestep);
    labels_ = b_.input("labels", DType::kI32, {batch_}, Rate::kClip);
    const std::vector<int64_t> patch{c_.patch, c_.patch};
    x_ = layers::patchify(b_, "x_embedder.proj", latents, {batch_, height_, width_}, c_.channels,
                          c_.width, patch);
    x_ = b_.add(x_, positions());
    if (!c_.embedders_per_block) condition_ = embed_condition();
    for (int64_t i = 0; i < c_.layers; ++i) block(i);
    finish();
    return b_.finish();
  }

 private:
  Dim side(const char* name) const {
    return c_.stored_positions ? Dim(c_.base_grid * c_.patch) : Dim::symbol(name);
  }

  Status check() const {
    if (c_.layers < 1 || c_.patch < 1 || c_.hidden < 1 || c_.channels < 1 || c_.out_channels < 1 ||
        c_.classes < 1 || c_.base_grid < 1)
      return error(Code::kInvalidArgument, "a DiT with a size of zero");
    if (c_.width < 4 || c_.width % 4 != 0)
      return error(Code::kInvalidArgument,
                   "a DiT's width must be a multiple of 4 (positions have "
                   "a sine and a cosine for each axis); found ",
                   c_.width);
    if (c_.heads < 1 || c_.width % c_.heads != 0)
      return error(Code::kInvalidArgument, "width ", c_.width, " cannot be split into ", c_.heads,
                   " heads");
    if (c_.time_features < 4 || c_.time_features % 2 != 0)
      return error(Code::kInvalidArgument, "time features must be an even number from 4; found ",
                   c_.time_features);
    return Status();
  }

  // [1, N, C]
  ValueId positions() {
    if (c_.stored_positions) {
      const int64_t tokens = c_.base_grid * c_.base_grid;
      return b_.weight("pos_embed", {1, tokens, c_.width});
    }
    return b_.reshape(position_table(), {1, tokens_, c_.width});
  }

  // [sin, cos] of position · 10000^(−i / (width/4)), first by column, then by row. The positions
  // of `count` rows or columns are spread over base_grid: i · base_grid / count.
  ValueId position_table() {
    const int64_t quarter = c_.width / 4;
    const ValueId frequencies = layers::rope_frequencies(b_, quarter, 10000);
    const std::vector<Dim> grid{rows_, columns_};
    const auto axis = [&](int which) {
      const Dim& count = grid[static_cast<size_t>(which)];
      const ValueId number = b_.reduce(OpKind::kReduceSum, b_.fill(1, {count}), {0});
      const ValueId places = b_.div(b_.iota(count, 0, static_cast<double>(c_.base_grid)), number);
      const ValueId angles = layers::outer(b_, places, frequencies, count, quarter);
      const ValueId waves = b_.concat({b_.sin(angles), b_.cos(angles)}, 1);
      return layers::spread_over_grid(b_, waves, which, grid, 2 * quarter);
    };
    return b_.concat({axis(1), axis(0)}, 1);
  }

  // silu(time + label), [B, C], under the open scope.
  ValueId embed_condition() { return b_.silu(b_.add(embed_time(), embed_label())); }

  ValueId embed_time() {
    const int64_t half = c_.time_features / 2;
    // Spreading the frequencies over half − 1 intervals is the same as a longer period.
    const double period =
        c_.diffusers_time ? std::pow(10000.0, static_cast<double>(half) / (half - 1.0)) : 10000.0;
    const ValueId features =
        layers::timestep_features(b_, time_, batch_, c_.time_features, period, 1);
    const auto scope = b_.scope("t_embedder");
    return b_.linear("mlp.2", b_.silu(b_.linear("mlp.0", features, c_.time_features, c_.width)),
                     c_.width, c_.width);
  }

  ValueId embed_label() {
    return b_.gather(b_.weight("y_embedder.embedding_table.weight", {c_.classes + 1, c_.width}),
                     labels_);
  }

  // `count` chunks [B, 1, C] of the conditioning.
  std::vector<ValueId> modulation(int64_t count) {
    const ValueId m = b_.linear("adaLN_modulation.1", condition_, c_.width, count * c_.width);
    return b_.split(b_.reshape(m, {batch_, count, c_.width}), 1, 1, count);
  }

  ValueId attention(ValueId h) {
    const auto scope = b_.scope("attn");
    const int64_t dim = c_.width / c_.heads;
    const ValueId qkv = b_.linear("qkv", h, c_.width, 3 * c_.width, c_.qkv_bias);
    std::vector<ValueId> parts = b_.split(qkv, -1, c_.width, 3);
    for (ValueId& part : parts) part = b_.reshape(part, {batch_, tokens_, c_.heads, dim});
    const ValueId y = b_.attention(parts[0], parts[1], parts[2]);
    return b_.linear("proj", b_.reshape(y, {batch_, tokens_, c_.width}), c_.width, c_.width);
  }

  ValueId mlp(ValueId h) {
    using Activation = DitConfig::Activation;
    const bool gated = c_.activation == Activation::kGeglu || c_.activation == Activation::kSwiglu;
    h = b_.linear("mlp.fc1", h, c_.width, gated ? 2 * c_.hidden : c_.hidden);
    const auto halves = gated ? b_.split(h, -1, c_.hidden, 2) : std::vector<ValueId>{};
    switch (c_.activation) {
      case Activation::kGeluTanh: h = b_.gelu_tanh(h); break;
      case Activation::kGelu: h = b_.unary(OpKind::kGelu, h); break;
      case Activation::kGeluSigmoid:
        h = b_.mul(h, b_.unary(OpKind::kSigmoid, b_.mul(h, b_.scalar(1.702))));
        break;
      case Activation::kSilu: h = b_.silu(h); break;
      case Activation::kGeglu: h = b_.mul(halves[0], b_.unary(OpKind::kGelu, halves[1])); break;
      case Activation::kSwiglu: h = b_.mul(halves[0], b_.silu(halves[1])); break;
    }
    return b_.linear("mlp.fc2", h, c_.hidden, c_.width);
  }

  void block(int64_t index) {
    const auto scope = b_.scope("blocks." + std::to_string(index));
    if (c_.embedders_per_block) {
      condition_ = embed_condition();
      if (index == 0) first_condition_ = condition_;
    }
    const std::vector<ValueId> m = modulation(6);
    ValueId h = b_.layer_norm(x_, kNone, kNone, 1e-6);
    x_ = b_.add(x_, b_.mul(m[2], attention(layers::modulate(b_, h, m[0], m[1]))));
    const auto affine = [&](const char* name) {
      return c_.mlp_norm_affine ? b_.weight(name, {c_.width}) : kNone;
    };
    h = b_.layer_norm(x_, affine("norm2.weight"), affine("norm2.bias"), c_.mlp_norm_epsilon);
    h = b_.mul(m[5], mlp(layers::modulate(b_, h, m[3], m[4])));
    x_ = b_.op(OpKind::kAdd, {x_, h}, {}, "output");
  }

  void finish() {
    if (c_.embedders_per_block) condition_ = first_condition_;
    ValueId y;
    {
      const auto scope = b_.scope("final_layer");
      const std::vector<ValueId> m = modulation(2);
      y = layers::modulate(b_, b_.layer_norm(x_, kNone, kNone, 1e-6), m[0], m[1]);
      y = b_.linear("linear", y, c_.width, c_.patch * c_.patch * c_.out_channels);
    }
    y = layers::unpatchify(b_, y, batch_, {1, rows_, columns_}, c_.out_channels,
                           {1, c_.patch, c_.patch});
    b_.output("output",
              b_.reshape(y, {batch_, rows_ * c_.patch, columns_ * c_.patch, c_.out_channels}));
  }

  const DitConfig& c_;
  Builder b_;
  const Dim batch_ = Dim::symbol("batch");
  // Stored positions know one size.
  const Dim height_ = side("height"), width_ = side("width");
  const Dim rows_ = floor_div(height_, c_.patch), columns_ = floor_div(width_, c_.patch);
  const Dim tokens_ = rows_ * columns_;
  ValueId time_ = kNone, labels_ = kNone, x_ = kNone;
  ValueId condition_ = kNone, first_condition_ = kNone;
};

}  // namespace

DitConfig dit_config(char size, int64_t patch) {
  DitConfig c;
  c.patch = patch;
  c.base_grid = 32 / patch;
  switch (size) {
    case 's': c.layers = 12, c.width = 384, c.heads = 6; break;
    case 'b': c.layers = 12, c.width = 768, c.heads = 12; break;
    case 'l': c.layers = 24, c.width = 1024, c.heads = 16; break;
    default: c.layers = 28, c.width = 1152, c.heads = 16; break;
  }
  c.hidden = 4 * c.width;
  return c;
}

Result<Graph> build_dit(const DitConfig& config) { return Builder2d(config).build(); }

std::vector<float> dit_position_table(int64_t grid, int64_t width) {
  const int64_t quarter = width / 4;
  std::vector<float> table;
  table.reserve(static_cast<size_t>(grid * grid * width));
  const auto append = [&](int64_t place, auto wave) {
    for (int64_t i = 0; i < quarter; ++i)
      table.push_back(static_cast<float>(
          wave(static_cast<double>(place) *
               std::pow(10000.0, -static_cast<double>(i) / static_cast<double>(quarter)))));
  };
  for (int64_t row = 0; row < grid; ++row)
    for (int64_t column = 0; column < grid; ++column)
      for (const int64_t place : {column, row}) {
        append(place, [](double x) { return std::sin(x); });
        append(place, [](double x) { return std::cos(x); });
      }
  return table;
}

}  // namespace zoetrope
