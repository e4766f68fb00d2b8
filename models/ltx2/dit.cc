#include "models/ltx2/dit.h"

#include <algorithm>
#include <functional>
#include <string>

#include "models/layers.h"
#include "models/ltx2/attention.h"
#include "models/ltx2/rope.h"

namespace zoetrope {
namespace {

using ltx2::Attention;

constexpr double kOutputEpsilon = 1e-6;
constexpr int64_t kTimeFeatures = 256;

// Modulation of one network: [batch, rows, 1, width] each; rows are frames, or 1.
using Parts = std::vector<ValueId>;

class Ltx2Builder {
 public:
  explicit Ltx2Builder(const Ltx2Config& config)
      : c_(config), b_(config.keyed ? "dit_keyed" : "dit") {}

  Result<Graph> build() {
    ZT_RETURN_IF_ERROR(check());
    open();
    for (int64_t i = 0; i < c_.layers; ++i) block(i);
    finish(video_);
    finish(sound_);
    return b_.finish();
  }

 private:
  // One of the two streams as it is built.
  struct Stream {
    const Ltx2Config::Stream& c;
    std::string prefix;          // of its weights' names
    std::string name;            // of its inputs and outputs
    std::vector<Dim> latents;    // shape of its input
    Dim frames, places, tokens;  // tokens = frames · places
    Dim rows;                    // of modulation: frames where they differ in time, else 1
    ValueId input = kNone, known = kNone, mask = kNone, unknown = kNone;
    ValueId x = kNone, text = kNone;
    ValueId time = kNone, noise = kNone;  // [batch · rows]; of the whole stream: [batch]
    int64_t text_width = 0;
    ValueId embedded = kNone;  // of time: [batch · rows, width]
    ValueId modulation = kNone, prompt = kNone, cross = kNone, gate = kNone;
    layers::RopeTables rope{kNone, kNone}, cross_rope{kNone, kNone};
    ValueId normed = kNone;  // between sound and video

    int64_t width() const { return c.width(); }
    int64_t tables() const { return c.modulated_prompt ? 9 : 6; }
    std::string at(std::string_view weight) const { return prefix + std::string(weight); }
  };

  Status check() const {
    if (c_.layers < 1) return error(Code::kInvalidArgument, "LTX-2 without a layer");
    for (const auto* s : {&c_.video, &c_.sound})
      if (s->channels < 1 || s->heads < 1 || s->head_dim < 2 || s->head_dim % 2 != 0 ||
          s->width() < 6)
        return error(Code::kInvalidArgument, "LTX-2 with ", s->channels, " channels in ", s->heads,
                     " heads of ", s->head_dim,
                     ": sizes must not be zero and heads must be even for rotary positions");
    if (c_.text_width < 1 || c_.sound_text_width < 1)
      return error(Code::kInvalidArgument, "LTX-2 whose text has no width");
    if (!c_.project_text &&
        (c_.text_width != c_.video.width() || c_.sound_text_width != c_.sound.width()))
      return error(Code::kInvalidArgument,
                   "LTX-2 without a projection of the text takes features of ", c_.video.width(),
                   " and ", c_.sound.width(), " channels; found ", c_.text_width, " and ",
                   c_.sound_text_width);
    if (c_.keyed && !c_.video.known_latents)
      return error(Code::kInvalidArgument, "LTX-2 with key frames that knows no latents of video");
    for (const int64_t i : c_.skipped_attention)
      if (!c_.weaker || i < 0 || i >= c_.layers)
        return error(Code::kInvalidArgument, "block ", i, " of ", c_.layers, " cannot be skipped",
                     c_.weaker ? "" : " without rows that skip it");
    return Status();
  }

  void open() {
    video_.input = b_.input("video", DType::kF32, video_.latents);
    sound_.input = b_.input("sound", DType::kF32, sound_.latents);
    time_ = b_.input("time", DType::kF32, {batch_}, Rate::kTimestep);
    const ValueId text =
        b_.input("text", DType::kF32, {batch_, text_length_, c_.text_width + c_.sound_text_width},
                 Rate::kClip);
    video_.text_width = c_.text_width;
    sound_.text_width = c_.sound_text_width;
    video_.text = b_.slice(text, 2, 0, c_.text_width);
    sound_.text = b_.slice(text, 2, c_.text_width, Builder::kToEnd);
    video_positions();
    sound_positions();
    for (Stream* s : {&video_, &sound_}) {
      const ValueId seen = condition(*s);
      s->x = b_.linear(s->at("proj_in"), b_.reshape(seen, {batch_, s->tokens, s->c.channels}),
                       s->c.channels, s->width());
      if (c_.project_text) project_text(*s);
      const ValueId scaled = b_.mul(s->time, b_.scalar(c_.time_scale));
      s->modulation = embed(s->at("time_embed"), scaled, *s, s->rows, s->tables(), &s->embedded);
      if (s->c.modulated_prompt && c_.prompt_by_time)
        s->prompt = embed(s->at("prompt_adaln"), whole_time(*s), *s, 1, 2);
    }
    if (c_.weaker) {
      const std::vector<Dim> row{batch_, 1, 1, 1};
      skipped_ = b_.op(OpKind::kLess,
                       {b_.scalar(0.5),
                        b_.reshape(b_.input("skipped", DType::kF32, {batch_}, Rate::kClip), row)});
      isolated_ = b_.reshape(b_.input("isolated", DType::kF32, {batch_}, Rate::kClip), row);
    }
    const double gate = c_.gate_time_scale / c_.time_scale;
    for (Stream* s : {&video_, &sound_}) {
      const std::string stream = s == &video_ ? "video" : "audio";
      const ValueId own = b_.mul(s->time, b_.scalar(c_.time_scale));
      const ValueId time = c_.cross_time ? whole_time(s == &video_ ? sound_ : video_) : own;
      const Dim rows = c_.cross_time ? Dim(1) : s->rows;
      s->cross = embed("av_cross_attn_" + stream + "_scale_shift", time, *s, rows, 4);
      s->gate = embed("av_cross_attn_" + stream + (s == &video_ ? "_a2v_gate" : "_v2a_gate"),
                      gate == 1 ? time : b_.mul(time, b_.scalar(gate)), *s, rows, 1);
    }
  }

  // What the network sees of a stream, and its times.
  ValueId condition(Stream& s) {
    s.time = s.noise = time_;
    if (!s.c.known_latents) return s.input;
    std::vector<Dim> mask = s.latents;
    mask.back() = 1;
    const std::string prefix = &s == &video_ ? "" : "sound_";
    s.known = b_.input(prefix + "known", DType::kF32, s.latents, Rate::kClip);
    s.mask = b_.input(prefix + "known_mask", DType::kF32, mask, Rate::kClip);
    s.unknown = b_.sub(b_.scalar(1), s.mask);
    std::vector<int> places;
    for (size_t axis = 2; axis < mask.size(); ++axis) places.push_back(static_cast<int>(axis));
    const ValueId open = b_.reduce(OpKind::kReduceMax, s.unknown, places, /*keep_dims=*/false);
    s.time = b_.reshape(b_.mul(b_.reshape(time_, {batch_, 1}), open), {batch_ * s.frames});
    s.noise = b_.mul(time_, b_.reduce(OpKind::kReduceMax, open, {1}, /*keep_dims=*/false));
    return b_.add(b_.mul(s.known, s.mask), b_.mul(s.input, s.unknown));
  }

  ValueId whole_time(const Stream& s) { return b_.mul(s.noise, b_.scalar(c_.time_scale)); }

  void project_text(Stream& s) {
    const auto scope = b_.scope(s.at("caption_projection"));
    s.text =
        b_.linear("linear_2", b_.gelu_tanh(b_.linear("linear_1", s.text, s.text_width, s.width())),
                  s.width(), s.width());
    s.text_width = s.width();
  }

  // `count` tables of modulation by time [batch · rows]: [batch, rows, count, width].
  ValueId embed(const std::string& name, ValueId time, const Stream& s, const Dim& rows,
                int64_t count, ValueId* embedded = nullptr) {
    const auto scope = b_.scope(name);
    const int64_t width = s.width();
    const ValueId features =
        layers::timestep_features(b_, time, batch_ * rows, kTimeFeatures, 10000, 1);
    ValueId y =
        b_.silu(b_.linear("emb.timestep_embedder.linear_1", features, kTimeFeatures, width));
    y = b_.linear("emb.timestep_embedder.linear_2", y, width, width);
    if (embedded != nullptr) *embedded = y;
    return b_.reshape(b_.linear("linear", b_.silu(y), width, count * width),
                      {batch_, rows, count, width});
  }

  // Middles of patches, in seconds, of latents that stand for `units` each, the first for
  // causal_offset: [count]. In the reference's order, as f32 rounds.
  ValueId middles(const Dim& count, int64_t units, const std::function<ValueId(ValueId)>& seconds) {
    const auto bound = [&](int64_t from) {
      const ValueId at = b_.iota(count, static_cast<double>(from), static_cast<double>(units));
      return seconds(b_.op(OpKind::kMax, {at, b_.scalar(0)}));
    };
    const ValueId start = bound(c_.causal_offset - units);
    return b_.div(b_.add(start, bound(c_.causal_offset)), b_.scalar(2));
  }

  void video_positions() {
    const std::vector<Dim> grid{frames_, height_, width_};
    const auto spread = [&](ValueId row, int axis) {
      return b_.reshape(
          layers::spread_over_grid(b_, b_.reshape(row, {grid[static_cast<size_t>(axis)], 1}), axis,
                                   grid, 1),
          {video_.tokens});
    };
    const auto pixels = [&](const Dim& count, int64_t most) {
      const auto pixel = static_cast<double>(c_.pixels_a_latent), whole = static_cast<double>(most);
      return b_.iota(count, pixel / 2 / whole, pixel / whole);
    };
    const auto in_seconds = [&](ValueId frame) { return b_.div(frame, b_.scalar(c_.fps)); };
    ValueId seconds = middles(clip_frames_, c_.frames_a_latent, in_seconds);
    if (c_.keyed) {  // a frame lasts until the next one
      const ValueId times = b_.input("key_times", DType::kF32, {batch_, keys_}, Rate::kClip);
      const ValueId start = b_.reshape(b_.slice(times, 0, 0, 1), {keys_});
      const ValueId end = b_.add(start, b_.scalar(1));
      seconds =
          b_.concat({seconds, b_.div(b_.add(in_seconds(start), in_seconds(end)), b_.scalar(2))}, 0);
    }
    const auto fraction = [&](int64_t most) {
      return spread(b_.div(seconds, b_.scalar(static_cast<double>(most))), 0);
    };
    const int64_t width = video_.width(), heads = video_.c.heads;
    video_.rope =
        ltx2::rope_tables(b_,
                          {fraction(c_.most_seconds), spread(pixels(height_, c_.most_height), 1),
                           spread(pixels(width_, c_.most_width), 2)},
                          video_.tokens, width, heads, c_.theta);
    video_.cross_rope = ltx2::rope_tables(b_, {fraction(cross_seconds())}, video_.tokens,
                                          sound_.width(), sound_.c.heads, c_.theta);
  }

  void sound_positions() {
    const ValueId seconds = middles(sound_frames_, c_.hops_a_latent, [&](ValueId hop) {
      return b_.div(b_.mul(hop, b_.scalar(static_cast<double>(c_.hop))),
                    b_.scalar(static_cast<double>(c_.sample_rate)));
    });
    const auto fraction = [&](int64_t most) {
      return b_.div(seconds, b_.scalar(static_cast<double>(most)));
    };
    sound_.rope = ltx2::rope_tables(b_, {fraction(c_.sound_most_seconds)}, sound_frames_,
                                    sound_.width(), sound_.c.heads, c_.theta);
    sound_.cross_rope = ltx2::rope_tables(b_, {fraction(cross_seconds())}, sound_frames_,
                                          sound_.width(), sound_.c.heads, c_.theta);
  }
  int64_t cross_seconds() const { return std::max(c_.most_seconds, c_.sound_most_seconds); }

  // Tokens [batch, tokens, width] by rows of modulation, and back.
  ValueId by_rows(const Stream& s, ValueId x) {
    if (!s.c.known_latents) return b_.reshape(x, {batch_, 1, s.tokens, s.width()});
    return b_.reshape(x, {batch_, s.frames, s.places, s.width()});
  }
  ValueId flat(const Stream& s, ValueId x) { return b_.reshape(x, {batch_, s.tokens, s.width()}); }

  // table[first, first + count) + modulation[batch, rows, count, width], split.
  Parts parts(ValueId table, ValueId modulation, int64_t count) {
    return b_.split(modulation == kNone ? table : b_.add(table, modulation), 2, 1, count);
  }
  ValueId table(const Stream& s, std::string_view name, int64_t count) {
    return b_.reshape(b_.weight(name, {count, s.width()}), {1, 1, count, s.width()});
  }

  ValueId norm(ValueId x) { return b_.rms_norm(x, kNone, c_.epsilon); }
  ValueId modulated(const Stream& s, ValueId x, ValueId shift, ValueId scale) {
    return flat(s, layers::modulate(b_, by_rows(s, x), shift, scale));
  }
  void add_gated(Stream& s, ValueId y, ValueId gate, std::string_view name = "") {
    s.x = b_.op(OpKind::kAdd, {s.x, flat(s, b_.mul(by_rows(s, y), gate))}, {}, name);
  }

  Attention attention(const Stream& s, int64_t context_width) const {
    Attention a;
    a.batch = batch_;
    a.width = s.width();
    a.context_width = context_width;
    a.heads = s.c.heads;
    a.head_dim = s.c.head_dim;
    a.split_rope = c_.rope == Ltx2Config::Rope::kSplit;
    a.gated = s.c.gated_attention;
    a.bias = c_.attention_bias;
    a.out_bias = c_.attention_out_bias;
    return a;
  }

  void attend_to_self(Stream& s, const Parts& m, bool skips) {
    Attention a = attention(s, s.width());
    a.query = a.key = s.rope;
    if (skips) a.skipped = skipped_;
    const ValueId h = modulated(s, norm(s.x), m[0], m[1]);
    add_gated(s, ltx2::attention(b_, s.at("attn1"), h, s.tokens, h, s.tokens, a), m[2]);
  }

  void attend_to_text(Stream& s, const Parts& m) {
    ValueId h = norm(s.x), text = s.text;
    if (s.c.modulated_prompt) h = modulated(s, h, m[6], m[7]);
    if (c_.video.modulated_prompt || c_.sound.modulated_prompt) {
      const Parts p = parts(table(s, s.at("prompt_scale_shift_table"), 2), s.prompt, 2);
      const ValueId rows = b_.reshape(text, {batch_, 1, text_length_, s.text_width});
      text =
          b_.reshape(layers::modulate(b_, rows, p[0], p[1]), {batch_, text_length_, s.text_width});
    }
    const ValueId y = ltx2::attention(b_, s.at("attn2"), h, s.tokens, text, text_length_,
                                      attention(s, s.text_width));
    if (s.c.modulated_prompt)
      add_gated(s, y, m[8]);
    else
      s.x = b_.add(s.x, y);
  }

  // Tables of a stream between sound and video: scale and shift of sound → video, of video → sound,
  // and the gate of what it receives.
  Parts cross_parts(const Stream& s, std::string_view name) {
    const ValueId all = table(s, name, 5);
    Parts p = parts(b_.slice(all, 2, 0, 4), s.cross, 4);
    ValueId gate = b_.add(b_.slice(all, 2, 4, 5), s.gate);
    if (c_.weaker) gate = b_.mul(gate, b_.sub(b_.scalar(1), isolated_));
    p.push_back(gate);
    return p;
  }

  // Queries of `to` look at `from`; both have the sound's heads.
  void attend_across(Stream& to, const Parts& query, const Stream& from, const Parts& key,
                     size_t first, std::string_view name) {
    Attention a = attention(to, from.width());
    a.heads = c_.sound.heads;
    a.head_dim = c_.sound.head_dim;
    a.query = to.cross_rope;
    a.key = from.cross_rope;
    const ValueId q = modulated(to, to.normed, query[first + 1], query[first]);
    const ValueId k = modulated(from, from.normed, key[first + 1], key[first]);
    add_gated(to, ltx2::attention(b_, name, q, to.tokens, k, from.tokens, a), query[4]);
  }

  void feed_forward(Stream& s, const Parts& m) {
    const int64_t width = s.width();
    const ValueId h = modulated(s, norm(s.x), m[3], m[4]);
    const ValueId up =
        b_.gelu_tanh(b_.linear(s.at("ff.net.0.proj"), h, width, 4 * width, s.c.ffn_bias));
    add_gated(s, b_.linear(s.at("ff.net.2"), up, 4 * width, width, s.c.ffn_bias), m[5], s.name);
  }

  void block(int64_t index) {
    const auto scope = b_.scope("transformer_blocks." + std::to_string(index));
    bool skips = false;
    for (const int64_t i : c_.skipped_attention) skips |= i == index;
    const auto modulation = [&](const Stream& s) {
      return parts(table(s, s.at("scale_shift_table"), s.tables()), s.modulation, s.tables());
    };
    const Parts video = modulation(video_), sound = modulation(sound_);
    attend_to_self(video_, video, skips);
    attend_to_self(sound_, sound, skips);
    attend_to_text(video_, video);
    attend_to_text(sound_, sound);
    video_.normed = norm(video_.x);
    sound_.normed = norm(sound_.x);
    const Parts v = cross_parts(video_, "video_a2v_cross_attn_scale_shift_table");
    const Parts u = cross_parts(sound_, "audio_a2v_cross_attn_scale_shift_table");
    attend_across(video_, v, sound_, u, 0, "audio_to_video_attn");
    attend_across(sound_, u, video_, v, 2, "video_to_audio_attn");
    feed_forward(video_, video);
    feed_forward(sound_, sound);
  }

  void finish(Stream& s) {
    const Dim rows = s.rows;
    const Parts m = parts(table(s, s.at("scale_shift_table"), 2),
                          b_.reshape(s.embedded, {batch_, rows, 1, s.width()}), 2);
    const ValueId h = modulated(s, b_.layer_norm(s.x, kNone, kNone, kOutputEpsilon), m[0], m[1]);
    ValueId velocity =
        b_.reshape(b_.linear(s.at("proj_out"), h, s.width(), s.c.channels), s.latents);
    if (s.c.known_latents) velocity = towards_known(s, velocity);
    b_.output(s.name + "_velocity", velocity);
  }

  // A flow's velocity v at x and time t predicts the result x − t·v. Of a known latent that is the
  // known one less t times the network's own velocity, as if x had been the known one: what the
  // reference's guidance measures the spread of.
  ValueId towards_known(const Stream& s, ValueId velocity) {
    std::vector<Dim> rows(s.latents.size(), 1);
    rows[0] = batch_;
    const ValueId t = b_.op(OpKind::kMax, {b_.reshape(time_, rows), b_.scalar(1e-4)});
    const ValueId back = b_.div(b_.sub(s.input, s.known), t);
    return b_.add(b_.mul(back, s.mask), velocity);
  }

  const Ltx2Config& c_;
  Builder b_;
  const Dim batch_ = Dim::symbol("batch"), keys_ = Dim::symbol("keys");
  const Dim clip_frames_ = Dim::symbol("frames");
  const Dim frames_ = c_.keyed ? clip_frames_ + keys_ : clip_frames_;
  const Dim height_ = Dim::symbol("height"), width_ = Dim::symbol("width");
  const Dim sound_frames_ = Dim::symbol("sound_frames");
  const Dim text_length_ = Dim::symbol("text_length");
  ValueId time_ = kNone, skipped_ = kNone, isolated_ = kNone;
  Stream video_{c_.video,
                "",
                "video",
                {batch_, frames_, height_, width_, c_.video.channels},
                frames_,
                height_* width_,
                frames_* height_* width_,
                c_.video.known_latents ? frames_ : Dim(1)};
  Stream sound_{
      c_.sound,      "audio_", "sound",       {batch_, sound_frames_, c_.sound.channels},
      sound_frames_, 1,        sound_frames_, c_.sound.known_latents ? sound_frames_ : Dim(1)};
};

}  // namespace

Ltx2Config ltx2_19b() { return {}; }
Ltx2Config ltx2_3() {
  Ltx2Config c;
  for (auto* s : {&c.video, &c.sound}) s->gated_attention = s->modulated_prompt = true;
  c.text_width = c.video.width();
  c.sound_text_width = c.sound.width();
  c.project_text = false;
  c.cross_time = true;
  return c;
}

Result<Graph> build_ltx2_dit(const Ltx2Config& config) { return Ltx2Builder(config).build(); }

}  // namespace zoetrope
