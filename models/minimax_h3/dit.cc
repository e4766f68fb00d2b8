#include "models/minimax_h3/dit.h"

#include <string>
#include <vector>

#include "models/layers.h"

namespace zoetrope {
namespace {

// What modulates the rows of one kind in a block: [batch, 1, width] each.
using Parts = std::vector<ValueId>;

constexpr int64_t kParts = 6;             // shift, scale and gate, twice
constexpr double kSpatialScale = 32;      // positions of a square's rows and columns: 0 to 32
constexpr double kExactPart = 1.0 / 256;  // sums of such and a length round in f32 nowhere

class H3Builder {
 public:
  H3Builder(const MiniMaxH3Config& config, bool ended)
      : c_(config), ended_(ended), b_(ended ? "dit_ended" : "dit") {
    all_ = ended ? std::vector<Rows*>{&sound_, &video_, &ends_, &text_}
                 : std::vector<Rows*>{&sound_, &video_, &text_};
  }

  Result<Graph> build() {
    ZT_RETURN_IF_ERROR(check());
    open();
    for (int64_t i = 0; i < c_.layers; ++i) block(i);
    finish();
    return b_.finish();
  }

 private:
  // Rows of one kind.
  struct Rows {
    const char* name;
    int64_t tag;   // of its modulation among the three of a block
    int64_t time;  // among those of video, sound and pictures at the ends
    Dim count;
    ValueId x = kNone;
  };

  Status check() const {
    for (const int64_t size :
         {c_.layers, c_.width, c_.heads, c_.head_dim, c_.ffn, c_.channels, c_.sound_channels,
          c_.sides, c_.patch, c_.text_width, c_.time_hidden, c_.time_width, c_.rope_freq_dim,
          c_.period, c_.first_frames, c_.later_frames})
      if (size < 1 || size > 1 << 20)
        return error(Code::kInvalidArgument, "MiniMax-H3 with a size of ", size);
    if (c_.refiner_layers < 0 || c_.time_features < 2 || c_.time_features % 2 != 0)
      return error(Code::kInvalidArgument, "MiniMax-H3 with ", c_.refiner_layers,
                   " refining layers and ", c_.time_features,
                   " features of time: expected an even number");
    if (rope_dim() > c_.head_dim)
      return error(Code::kInvalidArgument, "MiniMax-H3 rotates ", rope_dim(), " of a head's ",
                   c_.head_dim, " channels");
    if (c_.sides > 2)
      return error(Code::kUnsupported, "MiniMax-H3 with ", c_.sides,
                   " channels of sound: its rows stand at the left and the right border");
    return Status();
  }
  int64_t rope_dim() const { return 6 * c_.rope_freq_dim; }
  int64_t inner() const { return c_.heads * c_.head_dim; }
  int64_t video_channels() const { return c_.channels * c_.patch * c_.patch; }
  Dim places() const { return rows_ * columns_; }

  void open() {
    const ValueId video =
        b_.input("video", DType::kF32,
                 {batch_, frames_, rows_ * c_.patch, columns_ * c_.patch, c_.channels});
    const ValueId sound =
        b_.input("sound", DType::kF32, {batch_, sound_frames_, c_.sides * c_.sound_channels});
    const ValueId times[] = {b_.input("time", DType::kF32, {batch_}, Rate::kTimestep),
                             b_.input("sound_time", DType::kF32, {batch_}, Rate::kTimestep)};
    const ValueId text =
        b_.input("text", DType::kF32, {batch_, text_length_, c_.text_width}, Rate::kClip);
    lengths_ = b_.input("text_lengths", DType::kI32, {batch_}, Rate::kClip);
    words_ = b_.cast(lengths_, DType::kF32);
    keys_ = b_.cast(b_.add(words_, b_.reshape(extent(media()), {1})), DType::kI32);
    if (ended_) open_ends(times[0]);
    rope_ = positions();
    video_.x = b_.linear("proj_in", patches(video, frames_), video_channels(), c_.width);
    sound_.x = b_.linear("audio_proj_in", sides(sound), c_.sound_channels, c_.width);
    text_.x = refined(b_.linear("context_embedder", text, c_.text_width, c_.width));
    std::vector<ValueId> all(times, times + 2);
    if (ended_) all.push_back(end_time_);
    embed(b_.concat(all, 0));
  }

  void open_ends(ValueId time) {
    const ValueId ends = b_.input(
        "ends", DType::kF32,
        {batch_, pictures_, rows_ * c_.patch, columns_ * c_.patch, c_.channels}, Rate::kClip);
    end_frames_ = b_.input("end_times", DType::kF32, {batch_, pictures_}, Rate::kClip);
    seen_ = b_.reshape(b_.input("text_seen", DType::kF32, {batch_, text_length_}, Rate::kClip),
                       {batch_, text_length_, 1});
    end_time_ = b_.op(OpKind::kMin, {time, b_.scalar(c_.end_noise)});
    // The video's projection once more.
    const ValueId weight = b_.weight("proj_in.weight", {c_.width, video_channels()});
    ends_.x = b_.add(b_.matmul(patches(ends, pictures_), weight, /*transpose_b=*/true),
                     b_.weight("proj_in.bias", {c_.width}));
  }

  Dim media() const {
    return ended_ ? sound_.count + video_.count + ends_.count : sound_.count + video_.count;
  }
  // A dimension as a number: [1] in f32.
  ValueId extent(const Dim& d, DType dtype = DType::kF32) {
    return b_.slice(b_.iota(d, 1, 1, dtype), 0, -1, Builder::kToEnd);
  }

  // [batch, t, h·p, w·p, c] to rows of channels in the checkpoint's order (c, p, p), and back.
  ValueId patches(ValueId x, const Dim& frames) {
    const Dim n = batch_ * frames;
    const int64_t p = c_.patch;
    x = b_.transpose(b_.reshape(x, {n, rows_, p, columns_, p, c_.channels}), {0, 1, 3, 5, 2, 4});
    return b_.reshape(x, {batch_, frames * places(), video_channels()});
  }
  ValueId from_patches(ValueId x) {
    const Dim n = batch_ * frames_;
    const int64_t p = c_.patch;
    x = b_.transpose(b_.reshape(x, {n, rows_, columns_, c_.channels, p, p}), {0, 1, 4, 2, 5, 3});
    return b_.reshape(x, {batch_, frames_, rows_ * p, columns_ * p, c_.channels});
  }
  // [batch, t, sides · c] to rows side by side, and back.
  ValueId sides(ValueId x) {
    x = b_.reshape(x, {batch_, sound_frames_, c_.sides, c_.sound_channels});
    return b_.reshape(b_.transpose(x, {0, 2, 1, 3}), {batch_, sound_.count, c_.sound_channels});
  }
  ValueId from_sides(ValueId x) {
    x = b_.reshape(x, {batch_, c_.sides, sound_frames_, c_.sound_channels});
    return b_.reshape(b_.transpose(x, {0, 2, 1, 3}),
                      {batch_, sound_frames_, c_.sides * c_.sound_channels});
  }

  // Rows or columns of a frame as parts of the square of the same area: [count] in f64.
  ValueId grid(const Dim& count, const Dim& rows, const Dim& columns) {
    const auto number = [&](double x) { return b_.scalar(x, DType::kF64); };
    const ValueId area = b_.mul(extent(rows, DType::kF64), extent(columns, DType::kF64));
    const ValueId n = extent(count, DType::kF64);
    const ValueId ratio = b_.div(n, b_.unary(OpKind::kSqrt, area));
    const ValueId left = b_.div(b_.sub(number(1), ratio), number(2));
    const ValueId at = b_.add(b_.mul(b_.iota(count, 0, 1, DType::kF64), b_.div(ratio, n)), left);
    return b_.mul(at, number(kSpatialScale));
  }

  // Where each frame of latents begins, in units of time from the first: [frames] in f64.
  ValueId frame_times() {
    const auto number = [&](int64_t x) { return b_.scalar(static_cast<double>(x), DType::kF64); };
    const ValueId k = b_.iota(frames_, 0, 1, DType::kF64);
    const ValueId whole = b_.unary(OpKind::kFloor, b_.div(k, number(c_.period)));
    const ValueId rest = b_.sub(k, b_.mul(whole, number(c_.period)));
    const ValueId first = b_.op(OpKind::kMin, {rest, number(1)});
    const int64_t period_frames = c_.first_frames + (c_.period - 1) * c_.later_frames;
    // first + (rest − 1) later, and 0 of the first.
    const ValueId inside = b_.add(b_.mul(first, number(c_.first_frames - c_.later_frames)),
                                  b_.mul(rest, number(c_.later_frames)));
    const ValueId frames = b_.add(b_.mul(whole, number(period_frames)), inside);
    return b_.mul(frames, b_.scalar(c_.units_a_frame, DType::kF64));
  }

  // Behind the words, of which a row has its own number: [batch, n] in f32, rounded once.
  ValueId behind_words(ValueId times, const Dim& n, bool rows_of_times = false) {
    const ValueId parts =
        b_.mul(b_.unary(OpKind::kFloor, b_.mul(times, b_.scalar(1 / kExactPart, DType::kF64))),
               b_.scalar(kExactPart, DType::kF64));
    const auto row = [&](ValueId x) {  // [n], or [batch, n] as it is
      const ValueId y = b_.cast(x, DType::kF32);
      return rows_of_times ? y : b_.reshape(y, {1, n});
    };
    const ValueId exact = b_.add(b_.reshape(words_, {batch_, 1}), row(parts));
    return b_.add(exact, row(b_.sub(times, parts)));
  }

  // Of every row of the sequence: sound at the borders of the frame, video, words.
  layers::RopeTables positions() {
    const ValueId h = b_.cast(grid(rows_, rows_, columns_), DType::kF32),
                  w = b_.cast(grid(columns_, rows_, columns_), DType::kF32);
    const auto spread = [&](ValueId x, int axis, const Dim& frames) {
      const std::vector<Dim> frame{frames, rows_, columns_};
      const Dim n = frame[static_cast<size_t>(axis)];
      return b_.reshape(layers::spread_over_grid(b_, b_.reshape(x, {n, 1}), axis, frame, 1),
                        {1, frames * places()});
    };
    const auto zeros = [&](const Dim& n) { return b_.fill(0, {1, n}); };
    const auto at_places = [&](ValueId times, const Dim& frames) {  // [batch, frames] to all rows
      return b_.reshape(
          b_.broadcast(b_.reshape(times, {batch_, frames, 1}), {batch_, frames, places()}),
          {batch_, frames * places()});
    };
    const ValueId video_time = at_places(behind_words(frame_times(), frames_), frames_);
    const ValueId sound_time =
        behind_words(b_.iota(sound_frames_, 0, 1, DType::kF64), sound_frames_);
    std::vector<ValueId> t, width;
    for (int64_t side = 0; side < c_.sides; ++side) {
      const ValueId border = side == 0 ? b_.slice(w, 0, 0, 1) : b_.slice(w, 0, -1, Builder::kToEnd);
      t.push_back(sound_time);
      width.push_back(b_.broadcast(b_.reshape(border, {1, 1}), {1, sound_frames_}));
    }
    t.push_back(video_time);
    std::vector<ValueId> height{zeros(sound_.count), spread(h, 1, frames_)};
    width.push_back(spread(w, 2, frames_));
    if (ended_) {
      const ValueId units =
          b_.mul(b_.cast(end_frames_, DType::kF64), b_.scalar(c_.units_a_frame, DType::kF64));
      t.push_back(at_places(behind_words(units, pictures_, /*rows_of_times=*/true), pictures_));
      height.push_back(spread(h, 1, pictures_));
      width.push_back(spread(w, 2, pictures_));
    }
    t.push_back(
        b_.broadcast(b_.reshape(b_.iota(text_length_), {1, text_length_}), {batch_, text_length_}));
    height.push_back(zeros(text_length_));
    width.push_back(zeros(text_length_));
    return tables({b_.concat(t, 1), b_.concat(height, 1), b_.concat(width, 1)});
  }

  layers::RopeTables tables(const std::vector<ValueId>& axes) {
    const int64_t f = c_.rope_freq_dim;
    // Rounded as the reference's: a power in f32, and one over it.
    const double step = std::log(c_.theta) / static_cast<double>(f);
    const ValueId powers = b_.cast(b_.exp(b_.iota(f, 0, step, DType::kF64)), DType::kF32);
    const ValueId frequencies = b_.reshape(b_.div(b_.scalar(1), powers), {1, 1, f});
    const Dim n = media() + text_length_;
    std::vector<ValueId> angles;
    for (size_t i = 0; i < axes.size(); ++i) {
      const Dim rows = i == 0 ? batch_ : Dim(1);
      const ValueId of = b_.mul(b_.reshape(axes[i], {rows, n, 1}), frequencies);
      angles.push_back(i == 0 ? of : b_.broadcast(of, {batch_, n, f}));
    }
    const ValueId all = b_.concat(angles, 2);
    return {b_.reshape(b_.cos(all), {batch_, n, 1, 3 * f}),
            b_.reshape(b_.sin(all), {batch_, n, 1, 3 * f})};
  }

  ValueId norm(const std::string& name, ValueId x, double epsilon) {
    return b_.rms_norm(x, b_.weight(name + ".weight", {c_.width}), epsilon);
  }

  // Of a head's channels the first ones are rotated.
  ValueId rotated_heads(ValueId x) {
    const ValueId y = b_.rope(b_.slice(x, 3, 0, rope_dim()), rope_.cos, rope_.sin, "split");
    if (rope_dim() == c_.head_dim) return y;
    return b_.concat({y, b_.slice(x, 3, rope_dim(), Builder::kToEnd)}, 3);
  }

  ValueId attention(ValueId h, const Dim& n, ValueId key_lengths, bool rotates) {
    const auto scope = b_.scope("attn");
    const auto heads = [&](std::string_view name) {
      return b_.reshape(b_.linear(name, h, c_.width, inner(), false),
                        {batch_, n, c_.heads, c_.head_dim});
    };
    const auto normed = [&](const std::string& which) {
      const ValueId y =
          b_.rms_norm(heads("to_" + which), b_.weight("norm_" + which + ".weight", {c_.head_dim}),
                      c_.qk_epsilon);
      return rotates ? rotated_heads(y) : y;
    };
    const ValueId q = normed("q"), k = normed("k");
    const ValueId y = b_.attention(q, k, heads("to_v"), key_lengths);
    return b_.linear("to_out.0", b_.reshape(y, {batch_, n, inner()}), inner(), c_.width, false);
  }

  ValueId feed_forward(ValueId h) {
    const auto parts =
        b_.split(b_.linear("ff.net.0.proj", h, c_.width, 2 * c_.ffn, false), 2, c_.ffn, 2);
    return b_.linear("ff.net.2", b_.mul(parts[0], b_.silu(parts[1])), c_.ffn, c_.width, false);
  }

  ValueId refined(ValueId x) {
    const auto scope = b_.scope("token_refiner");
    for (int64_t i = 0; i < c_.refiner_layers; ++i) {
      const auto block = b_.scope("refiner_blocks." + std::to_string(i));
      x = b_.add(x, attention(norm("norm1", x, c_.epsilon), text_length_, lengths_, false));
      x = b_.op(OpKind::kAdd, {x, feed_forward(norm("norm2", x, c_.epsilon))}, {}, "output");
    }
    return norm("final_norm", x, c_.final_epsilon);
  }

  // Of all times, video's before sound's: [times · batch, time_width].
  void embed(ValueId times) {
    const ValueId clean = b_.sub(b_.scalar(1), times);  // the reference's time: 1 is the result
    const Dim rows = batch_ * (ended_ ? 3 : 2);
    const auto scope = b_.scope("time_embedder");
    ValueId y = layers::timestep_features(b_, clean, rows, c_.time_features, 10000, 1);
    y = b_.silu(b_.linear("linear_1", y, c_.time_features, c_.time_hidden));
    embedded_ = b_.silu(b_.linear("linear_2", y, c_.time_hidden, c_.time_width));
  }

  ValueId of_time(ValueId all, int64_t time) {
    return b_.slice(all, 0, batch_ * time, batch_ * (time + 1));
  }

  // The block's modulation of each kind of rows; `all` [times · batch, 3 · kParts · width].
  Parts parts(ValueId all, const Rows& rows) {
    const ValueId own = b_.slice(of_time(all, rows.time), 1, rows.tag * kParts * c_.width,
                                 (rows.tag + 1) * kParts * c_.width);
    return b_.split(b_.reshape(own, {batch_, kParts, c_.width}), 1, 1, kParts);
  }
  // Where a picture is read among the words its rows are modulated as the video's:
  // [batch, text_length, width] each.
  Parts with_seen(Parts words, const Parts& video) {
    for (size_t i = 0; i < words.size(); ++i)
      words[i] = b_.add(words[i], b_.mul(seen_, b_.sub(video[i], words[i])));
    return words;
  }

  // What all rows make of themselves together, modulated before and gated behind.
  template <typename F>
  void update(const std::string& norm_name, const std::vector<Parts>& m, size_t first, F make,
              bool named) {
    std::vector<ValueId> seen;
    for (size_t i = 0; i < all_.size(); ++i)
      seen.push_back(layers::modulate(b_, norm(norm_name, all_[i]->x, c_.epsilon), m[i][first],
                                      m[i][first + 1]));
    const ValueId y = make(b_.concat(seen, 1));
    Dim at = 0;
    for (size_t i = 0; i < all_.size(); ++i) {
      const Dim end = at + all_[i]->count;
      const ValueId gated = b_.mul(b_.slice(y, 1, at, end), m[i][first + 2]);
      all_[i]->x = b_.op(OpKind::kAdd, {all_[i]->x, gated}, {}, named ? all_[i]->name : "");
      at = end;
    }
  }

  void block(int64_t index) {
    const auto scope = b_.scope("transformer_blocks." + std::to_string(index));
    const ValueId all =
        b_.linear("adaln_proj.linear", embedded_, c_.time_width, 3 * kParts * c_.width);
    std::vector<Parts> m;
    for (const Rows* rows : all_) m.push_back(parts(all, *rows));
    if (ended_) m.back() = with_seen(m.back(), m[1]);
    const Dim n = media() + text_length_;
    update(
        "norm1", m, 0, [&](ValueId h) { return attention(h, n, keys_, true); }, false);
    update(
        "norm2", m, 3, [&](ValueId h) { return feed_forward(h); }, true);
  }

  // Velocities lead to noise here.
  void finish() {
    const ValueId all = b_.linear("norm_out.linear", embedded_, c_.time_width, 2 * c_.width);
    const auto head = [&](const Rows& rows, std::string_view name, int64_t channels) {
      const ValueId own = b_.reshape(of_time(all, rows.time), {batch_, 2, c_.width});
      const Parts m = b_.split(own, 1, 1, 2);
      const ValueId h =
          layers::modulate(b_, norm("norm_out.norm", rows.x, c_.final_epsilon), m[0], m[1]);
      return b_.sub(b_.scalar(0), b_.linear(name, h, c_.width, channels));
    };
    b_.output("video_velocity", from_patches(head(video_, "proj_out", video_channels())));
    b_.output("sound_velocity", from_sides(head(sound_, "audio_proj_out", c_.sound_channels)));
  }

  const MiniMaxH3Config& c_;
  const bool ended_;
  Builder b_;
  const Dim batch_ = Dim::symbol("batch"), frames_ = Dim::symbol("frames");
  const Dim rows_ = Dim::symbol("height"), columns_ = Dim::symbol("width");
  const Dim sound_frames_ = Dim::symbol("sound_frames");
  const Dim text_length_ = Dim::symbol("text_length");
  const Dim pictures_ = Dim::symbol("pictures");
  Rows video_{"video", 0, 0, frames_* rows_* columns_};
  Rows text_{"text", 1, 0, text_length_};
  Rows sound_{"sound", 2, 1, sound_frames_* c_.sides};
  Rows ends_{"ends", 0, 2, pictures_* rows_* columns_};
  std::vector<Rows*> all_;  // in the sequence's order, words last
  ValueId end_frames_ = kNone, end_time_ = kNone, seen_ = kNone;
  ValueId lengths_ = kNone, words_ = kNone, keys_ = kNone;
  ValueId embedded_ = kNone;
  layers::RopeTables rope_{kNone, kNone};
};

}  // namespace

MiniMaxH3Config minimax_h3() { return {}; }

Result<Graph> build_minimax_h3_dit(const MiniMaxH3Config& config) {
  return H3Builder(config, false).build();
}
Result<Graph> build_minimax_h3_dit_ended(const MiniMaxH3Config& config) {
  return H3Builder(config, true).build();
}

}  // namespace zoetrope
