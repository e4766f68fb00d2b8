#include "models/moviegen/moviegen.h"

#include "models/layers.h"
#include "models/moviegen/block.h"

namespace zoetrope {
namespace {

constexpr int64_t kTaskPlaces = 4;  // behind the texts

class MovieGenBuilder {
 public:
  explicit MovieGenBuilder(const MovieGenConfig& config) : c_(config), b_("dit") {}

  Result<Graph> build() {
    ZT_RETURN_IF_ERROR(check());
    ValueId video = b_.input("video", DType::kF32, {batch_, frames_, height_, width_, c_.channels});
    const ValueId time = b_.input("time", DType::kF32, {batch_}, Rate::kTimestep);
    const ValueId task = c_.tasks > 0 ? embed_task() : kNone;
    make_context(task);
    make_positions();
    if (c_.source) video = b_.concat({video, make_source()}, 4);
    x_ = layers::patchify(b_, "patch_embedding", video, {batch_, frames_, height_, width_},
                          (c_.source ? 2 : 1) * c_.channels, c_.width, {1, 2, 2});
    time_ = moviegen::embed_time(
        b_, time, batch_, c_.time_features, c_.width,
        task == kNone ? kNone : b_.linear("task.time", task, c_.width, c_.width));
    block_ = {.width = c_.width,
              .heads = c_.heads,
              .ffn = c_.ffn,
              .epsilon = c_.epsilon,
              .rope = rope_,
              .tokens = tokens_,
              .context_length = context_length_,
              .context = context_,
              .modulation = time_.modulation};
    for (int64_t i = 0; i < c_.layers; ++i) block(i);
    finish();
    return b_.finish();
  }

 private:
  Status check() const {
    if (c_.tasks > 0 && !c_.source)
      return error(Code::kInvalidArgument, "edits of ", c_.tasks, " kinds without a clip to edit");
    if (c_.tasks < 0 || c_.references < 1 || c_.reference_width < 0)
      return error(Code::kInvalidArgument, c_.tasks, " kinds of edits, ", c_.references,
                   " pictures of width ", c_.reference_width);
    return Status();
  }

  ValueId latents(std::string_view name) {
    return b_.input(name, DType::kF32, {batch_, frames_, height_, width_, c_.channels},
                    Rate::kClip);
  }
  ValueId make_source() {
    const ValueId source = latents("source");
    if (c_.tasks == 0) return source;
    const ValueId without = b_.reshape(
        b_.input("without_source", DType::kF32, {batch_}, Rate::kClip), {batch_, 1, 1, 1, 1});
    return b_.add(source, b_.mul(without, b_.sub(latents("black"), source)));
  }
  // [batch, width]
  ValueId embed_task() {
    return b_.gather(b_.weight("task.embedding_table.weight", {c_.tasks, c_.width}),
                     b_.input("task", DType::kI32, {batch_}, Rate::kClip));
  }
  // [batch, references · length, width]
  ValueId make_reference() {
    const Dim pictures = Dim::symbol("references"), length = Dim::symbol("reference_length");
    const ValueId seen = b_.input("reference", DType::kF32,
                                  {batch_, pictures, length, c_.reference_width}, Rate::kClip);
    ValueId x = projected("reference", seen, c_.reference_width);
    if (c_.references > 1)
      x = b_.add(x, b_.reshape(b_.slice(b_.weight("reference.order", {c_.references, c_.width}), 0,
                                        0, pictures),
                               {1, pictures, 1, c_.width}));
    context_length_ = context_length_ + pictures * length;
    return b_.reshape(x, {batch_, pictures * length, c_.width});
  }
  ValueId projected(const std::string& name, ValueId x, int64_t width) {
    const auto scope = b_.scope(name);
    return b_.layer_norm(b_.linear("projection", x, width, c_.width, false),
                         b_.weight("norm.weight", {c_.width}), b_.weight("norm.bias", {c_.width}),
                         c_.epsilon);
  }

  // Each encoder through its own Linear and LayerNorm, joined along the sequence.
  void make_context(ValueId task) {
    std::vector<ValueId> parts;
    context_length_ = 0;
    for (const MovieGenConfig::TextEncoder& encoder : c_.text) {
      const Dim length = Dim::symbol(encoder.name + "_length");
      const ValueId text = b_.input("text_" + encoder.name, DType::kF32,
                                    {batch_, length, encoder.width}, Rate::kClip);
      parts.push_back(projected("text." + encoder.name, text, encoder.width));
      context_length_ = context_length_ + length;
    }
    if (c_.reference_width > 0) parts.push_back(make_reference());
    if (task != kNone) {
      parts.push_back(b_.reshape(b_.linear("task.text", task, c_.width, kTaskPlaces * c_.width),
                                 {batch_, kTaskPlaces, c_.width}));
      context_length_ = context_length_ + kTaskPlaces;
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

  void block(int64_t index) {
    const auto scope = b_.scope("blocks." + std::to_string(index));
    if (table_ != kNone) x_ = b_.add(x_, table_);
    x_ = moviegen::block(b_, x_, block_);
  }

  void finish() {
    const ValueId y = moviegen::head(b_, x_, time_, batch_, c_.width, 4 * c_.channels, c_.epsilon);
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
  moviegen::Time time_{kNone, kNone};
  moviegen::Block block_{};
};

}  // namespace

MovieGenConfig moviegen_config(int billions) {
  MovieGenConfig c;
  if (billions == 7) c.layers = 30, c.width = 3840, c.ffn = 10240, c.heads = 30;
  if (billions == 1) c.layers = 24, c.width = 1536, c.ffn = 4096, c.heads = 16;
  if (billions == 5) c.layers = 32, c.width = 3072, c.ffn = 8192, c.heads = 24;
  return c;
}

Result<Graph> build_moviegen_dit(const MovieGenConfig& config) {
  return MovieGenBuilder(config).build();
}

}  // namespace zoetrope
