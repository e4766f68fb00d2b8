#include "models/ltx2/text_encoder.h"

#include <cmath>
#include <utility>

#include "models/ltx2/attention.h"
#include "models/ltx2/rope.h"

namespace zoetrope {
namespace {

constexpr double kEpsilon = 1e-6;
constexpr double kStateScale = 8;  // of states normed over the prompt
constexpr double kLowest = -3e38;  // below every state
constexpr size_t kJoined = 16;     // states that one concat takes

class TextBuilder {
 public:
  explicit TextBuilder(const Ltx2TextConfig& config) : c_(config), b_("text_encoder") {}

  Result<Graph> build() {
    ZT_RETURN_IF_ERROR(check());
    const ValueId ids = b_.input("ids", DType::kI32, {batch_, length_}, Rate::kClip);
    lengths_ = b_.input("lengths", DType::kI32, {batch_}, Rate::kClip);
    std::vector<ValueId> states;
    {
      const auto scope = b_.scope("gemma");
      states = gemma_hidden_states(b_, c_.gemma, ids, lengths_, batch_, length_);
    }
    counts_ = b_.cast(lengths_, DType::kF32);
    const ValueId text = b_.op(OpKind::kLess, {b_.reshape(b_.iota(length_), {1, length_}),
                                               b_.reshape(counts_, {batch_, 1})});
    is_text_ = b_.reshape(text, {batch_, length_, 1});
    const ValueId joined = join(states);
    const int64_t width = static_cast<int64_t>(states.size()) * c_.gemma.width;
    ValueId video = kNone, sound = kNone;
    if (c_.projection_a_stream) {
      video = projected("video_text_proj_in", joined, width, c_.video.width());
      sound = projected("audio_text_proj_in", joined, width, c_.sound.width());
    } else {
      video = sound =
          b_.linear("text_proj_in", joined, width, c_.video.width(), c_.projection_bias);
    }
    b_.output("text", b_.concat({connect("video_connector", video, c_.video),
                                 connect("audio_connector", sound, c_.sound)},
                                2));
    return b_.finish();
  }

 private:
  Status check() const {
    ZT_RETURN_IF_ERROR(check_gemma(c_.gemma));
    for (const auto* s : {&c_.video, &c_.sound}) {
      if (s->heads < 1 || s->head_dim < 2 || s->head_dim % 2 != 0 || s->layers < 0)
        return error(Code::kInvalidArgument, "a connector of ", s->layers, " layers with ",
                     s->heads, " heads of ", s->head_dim);
      if (s->registers < 1 || c_.places < 1 || c_.places % s->registers != 0)
        return error(Code::kInvalidArgument, "a connector's ", s->registers,
                     " registers must divide its ", c_.places, " places");
    }
    if (!c_.projection_a_stream &&
        (c_.video.width() != c_.sound.width() || c_.video.width() != c_.gemma.width))
      return error(Code::kInvalidArgument, "one projection serves connectors of the text's width ",
                   c_.gemma.width, "; found ", c_.video.width(), " and ", c_.sound.width());
    return Status();
  }

  // Over a row's text and all channels: less the mean, divided by the range.
  ValueId normed_over_prompt(ValueId state) {
    const std::vector<Dim> row{batch_, 1, 1};
    const auto over_text = [&](ValueId x) {
      return b_.reduce(OpKind::kReduceMax, b_.select(is_text_, x, b_.scalar(kLowest)), {1, 2});
    };
    const ValueId sum =
        b_.reduce(OpKind::kReduceSum, b_.select(is_text_, state, b_.scalar(0)), {1, 2});
    const ValueId count =
        b_.add(b_.mul(b_.reshape(counts_, row), b_.scalar(static_cast<double>(c_.gemma.width))),
               b_.scalar(kEpsilon));
    const ValueId range = b_.add(over_text(state), over_text(b_.unary(OpKind::kNeg, state)));
    const ValueId y = b_.div(b_.sub(state, b_.div(sum, count)), b_.add(range, b_.scalar(kEpsilon)));
    return b_.mul(y, b_.scalar(kStateScale));
  }

  // [batch, length, states · width], zero where there is no text.
  ValueId join(const std::vector<ValueId>& states) {
    std::vector<ValueId> parts, groups;
    for (const ValueId state : states) {
      const ValueId y =
          c_.projection_a_stream ? b_.rms_norm(state, kNone, kEpsilon) : normed_over_prompt(state);
      parts.push_back(b_.select(is_text_, y, b_.scalar(0)));
      if (parts.size() == kJoined) groups.push_back(b_.concat(std::exchange(parts, {}), 2));
    }
    if (!parts.empty()) groups.push_back(parts.size() == 1 ? parts[0] : b_.concat(parts, 2));
    return groups.size() == 1 ? groups[0] : b_.concat(groups, 2);
  }

  ValueId projected(std::string_view name, ValueId x, int64_t from, int64_t to) {
    const double scale = std::sqrt(static_cast<double>(to) / static_cast<double>(c_.gemma.width));
    return b_.linear(name, b_.mul(x, b_.scalar(scale)), from, to, c_.projection_bias);
  }

  ValueId connect(std::string_view name, ValueId x, const Ltx2TextConfig::Connector& s) {
    const auto scope = b_.scope(name);
    const int64_t width = s.width();
    const Dim places(c_.places);
    // Registers by place, where there is no text.
    const ValueId registers =
        b_.reshape(b_.broadcast(b_.reshape(b_.weight("learnable_registers", {s.registers, width}),
                                           {1, s.registers, width}),
                                {c_.places / s.registers, s.registers, width}),
                   {1, c_.places, width});
    const ValueId filled = b_.pad(x, {0, 0, 0}, {0, places - length_, 0});
    const ValueId text = b_.op(OpKind::kLess, {b_.reshape(b_.iota(places), {1, c_.places, 1}),
                                               b_.reshape(counts_, {batch_, 1, 1})});
    x = b_.select(text, filled, registers);
    const ValueId position = b_.iota(places, 0, 1 / static_cast<double>(c_.longest));
    ltx2::Attention a;
    a.batch = batch_;
    a.width = a.context_width = width;
    a.heads = s.heads;
    a.head_dim = s.head_dim;
    a.split_rope = c_.split_rope;
    a.gated = s.gated_attention;
    a.query = a.key = ltx2::rope_tables(b_, {position}, places, width, s.heads, c_.theta);
    for (int64_t i = 0; i < s.layers; ++i) {
      const auto block = b_.scope("transformer_blocks." + std::to_string(i));
      const ValueId h = b_.rms_norm(x, kNone, kEpsilon);
      x = b_.add(x, ltx2::attention(b_, "attn1", h, places, h, places, a));
      const ValueId up = b_.gelu_tanh(
          b_.linear("ff.net.0.proj", b_.rms_norm(x, kNone, kEpsilon), width, 4 * width));
      x = b_.op(OpKind::kAdd, {x, b_.linear("ff.net.2", up, 4 * width, width)}, {}, "output");
    }
    return b_.rms_norm(x, kNone, kEpsilon);
  }

  const Ltx2TextConfig& c_;
  Builder b_;
  const Dim batch_ = Dim::symbol("batch"), length_ = Dim::symbol("text_length");
  ValueId lengths_ = kNone, counts_ = kNone, is_text_ = kNone;
};

}  // namespace

Ltx2TextConfig ltx2_text() { return {}; }
Ltx2TextConfig ltx2_3_text() {
  Ltx2TextConfig c;
  c.video = {.heads = 32, .head_dim = 128, .layers = 8, .gated_attention = true};
  c.sound = {.heads = 32, .head_dim = 64, .layers = 8, .gated_attention = true};
  c.projection_a_stream = c.projection_bias = true;
  return c;
}

Result<Graph> build_ltx2_text_encoder(const Ltx2TextConfig& config) {
  return TextBuilder(config).build();
}

}  // namespace zoetrope
