#include "models/moviegen/moviegen.h"

#include "models/layers.h"

namespace zoetrope {
namespace {

using layers::AttentionSpec;

class MovieGenBuilder {
 public:
  explicit MovieGenBuilder(const MovieGenConfig& config) : c_(config), b_("dit") {}

  Result<Graph> build() {
    const ValueId video =
        b_.input("video", DType::kF32, {batch_, frames_, height_, width_, c_.channels});
    const ValueId time = b_.input("time", DType::kF32, {batch_}, Rate::kTimestep);
    make_context();
    make_positions();
    x_ = layers::patchify(b_, "patch_embedding", video, {batch_, frames_, height_, width_},
                          c_.channels, c_.width, {1, 2, 2});
    embed_time(time);
    for (int64_t i = 0; i < c_.layers; ++i) block(i);
    finish();
    return b_.finish();
  }

 private:
  // Each encoder through its own Linear and LayerNorm, joined along the sequence.
  void make_context() {
    std::vector<ValueId> parts;
    context_length_ = 0;
    for (const MovieGenConfig::TextEncoder& encoder : c_.text) {
      const Dim length = Dim::symbol(encoder.name + "_length");
      const ValueId text = b_.input("text_" + encoder.name, DType::kF32,
                                    {batch_, length, encoder.width}, Rate::kClip);
      const auto scope = b_.scope("text." + encoder.name);
      parts.push_back(b_.layer_norm(b_.linear("projection", text, encoder.width, c_.width, false),
                                    b_.weight("norm.weight", {c_.width}),
                                    b_.weight("norm.bias", {c_.width}), c_.epsilon));
      context_length_ = context_length_ + length;
    }
    context_ = parts.size() == 1 ? parts[0] : b_.concat(parts, 1);
  }

  void make_positions() {
    const std::vector<Dim> grid{frames_, rows_, columns_};
    if (c_.positions == MovieGenConfig::Positions::kTables) {
      const char* names[] = {"position.frames", "position.rows", "position.columns"};
      const int64_t sizes[] = {c_.max_frames, c_.max_rows, c_.max_columns};
      for (int axis = 0; axis < 3; ++axis) {
        const auto a = static_cast<size_t>(axis);
        const ValueId rows = b_.slice(b_.weight(names[a], {sizes[a], c_.width}), 0, 0, grid[a]);
        const ValueId spread = layers::spread_over_grid(b_, rows, axis, grid, c_.width);
        table_ = table_ == kNone ? spread : b_.add(table_, spread);
      }
      table_ = b_.reshape(table_, {1, tokens_, c_.width});
      return;
    }
    rope_ = layers::grid_rope(b_, grid, c_.width / c_.heads, 10000);
  }

  void embed_time(ValueId time) {
    const ValueId features =
        layers::timestep_features(b_, time, batch_, c_.time_features, 10000, 1000);
    embedding_ =
        b_.linear("time.out", b_.silu(b_.linear("time.in", features, c_.time_features, c_.width)),
                  c_.width, c_.width);
    modulation_ =
        b_.reshape(b_.linear("time.projection", b_.silu(embedding_), c_.width, 6 * c_.width),
                   {batch_, 6, c_.width});
  }

  void block(int64_t index) {
    const auto scope = b_.scope("blocks." + std::to_string(index));
    if (table_ != kNone) x_ = b_.add(x_, table_);
    const ValueId m = b_.add(modulation_, b_.weight("modulation", {6, c_.width}));
    const std::vector<ValueId> parts = b_.split(m, 1, 1, 6);

    AttentionSpec self{c_.width,  c_.width / c_.heads,
                       c_.width,  c_.epsilon,
                       rope_.cos, rope_.sin,
                       kNone,     tokens_,
                       tokens_,   AttentionSpec::QkNorm::kNone};
    ValueId h = b_.rms_norm(x_, b_.weight("norm1.weight", {c_.width}), c_.epsilon);
    h = layers::modulate(b_, h, parts[0], parts[1]);
    x_ = b_.add(x_, b_.mul(parts[2], layers::attention(b_, "attn", h, h, self)));

    AttentionSpec cross = self;
    cross.cos = cross.sin = kNone;
    cross.key_length = context_length_;
    h = b_.rms_norm(x_, b_.weight("cross_norm.weight", {c_.width}), c_.epsilon);
    x_ = b_.add(x_, layers::attention(b_, "cross", h, context_, cross));

    h = b_.rms_norm(x_, b_.weight("norm2.weight", {c_.width}), c_.epsilon);
    h = layers::modulate(b_, h, parts[3], parts[4]);
    x_ = b_.add(x_, b_.mul(parts[5], layers::swiglu(b_, "ffn", h, c_.width, c_.ffn)));
  }

  void finish() {
    const auto scope = b_.scope("head");
    const ValueId m = b_.add(b_.reshape(embedding_, {batch_, 1, c_.width}),
                             b_.weight("modulation", {2, c_.width}));
    const std::vector<ValueId> parts = b_.split(m, 1, 1, 2);
    ValueId y = b_.rms_norm(x_, b_.weight("norm.weight", {c_.width}), c_.epsilon);
    y = b_.linear("out", layers::modulate(b_, y, parts[0], parts[1]), c_.width, 4 * c_.channels,
                  false);
    b_.output("video_velocity", layers::unpatchify(b_, y, batch_, {frames_, rows_, columns_},
                                                   c_.channels, {1, 2, 2}));
  }

  const MovieGenConfig& c_;
  Builder b_;
  const Dim batch_ = Dim::symbol("batch"), frames_ = Dim::symbol("frames");
  const Dim height_ = Dim::symbol("height"), width_ = Dim::symbol("width");
  const Dim rows_ = floor_div(height_, 2), columns_ = floor_div(width_, 2);
  const Dim tokens_ = frames_ * rows_ * columns_;
  Dim context_length_ = 0;
  ValueId x_ = kNone, context_ = kNone, table_ = kNone;
  layers::RopeTables rope_{kNone, kNone};
  ValueId embedding_ = kNone, modulation_ = kNone;
};

}  // namespace

MovieGenConfig moviegen_config(int billions) {
  MovieGenConfig c;
  if (billions == 1) c.layers = 24, c.width = 1536, c.ffn = 4096, c.heads = 16;
  if (billions == 5) c.layers = 32, c.width = 3072, c.ffn = 8192, c.heads = 24;
  return c;
}

Result<Graph> build_moviegen_dit(const MovieGenConfig& config) {
  return MovieGenBuilder(config).build();
}

}  // namespace zoetrope
