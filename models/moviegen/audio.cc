#include "models/moviegen/audio.h"

#include "models/moviegen/block.h"

namespace zoetrope {
namespace {

class AudioBuilder {
 public:
  explicit AudioBuilder(const MovieGenAudioConfig& config) : c_(config), b_("dit") {}

  Result<Graph> build() {
    ZT_RETURN_IF_ERROR(check());
    const ValueId sound = b_.input("sound", DType::kF32, {batch_, frames_, c_.channels});
    const ValueId time = b_.input("time", DType::kF32, {batch_}, Rate::kTimestep);
    const ValueId known =
        b_.input("known", DType::kF32, {batch_, frames_, c_.channels}, Rate::kClip);
    const ValueId mask = b_.input("known_mask", DType::kF32, {batch_, frames_, 1}, Rate::kClip);
    ValueId x =
        b_.linear("embedding", b_.concat({sound, known, mask}, 2), 2 * c_.channels + 1, c_.width);
    x = b_.add(x, pictures());
    const moviegen::Time told = moviegen::embed_time(b_, time, batch_, c_.time_features, c_.width);
    const moviegen::Block spec{.width = c_.width,
                               .heads = c_.heads,
                               .ffn = c_.ffn,
                               .epsilon = c_.epsilon,
                               .gated = false,
                               .rope = positions(),
                               .tokens = frames_,
                               .context_length = text_length_,
                               .context = text(),
                               .modulation = told.modulation};
    for (int64_t i = 0; i < c_.layers; ++i) {
      const auto scope = b_.scope("blocks." + std::to_string(i));
      x = moviegen::block(b_, x, spec);
    }
    b_.output("sound_velocity",
              moviegen::head(b_, x, told, batch_, c_.width, c_.channels, c_.epsilon));
    return b_.finish();
  }

 private:
  Status check() const {
    if (c_.layers < 1 || c_.width < 2 || c_.heads < 1 || c_.width % (2 * c_.heads) != 0 ||
        c_.ffn < 1 || c_.channels < 1 || c_.text_width < 1 || c_.picture_width < 1)
      return error(Code::kInvalidArgument, "Movie Gen Audio with ", c_.layers, " layers of ",
                   c_.width, " in ", c_.heads, " heads");
    return Status();
  }

  // Of each latent the features of the picture that is shown at its middle, through a gate.
  ValueId pictures() {
    const ValueId given =
        b_.input("pictures", DType::kF32, {batch_, pictures_, c_.picture_width}, Rate::kClip);
    const ValueId all = b_.transpose(given, {1, 0, 2});
    // pictures / frames, as a tensor: ratios of symbols are no numbers yet.
    const ValueId ones = b_.fill(1, {pictures_}), each = b_.fill(1, {frames_});
    const ValueId ratio =
        b_.div(b_.reduce(OpKind::kReduceSum, ones, {0}), b_.reduce(OpKind::kReduceSum, each, {0}));
    const ValueId middle = b_.add(b_.iota(frames_), b_.scalar(0.5));
    const ValueId at = b_.cast(b_.unary(OpKind::kFloor, b_.mul(middle, ratio)), DType::kI32);
    const ValueId shown = b_.transpose(b_.gather(all, at), {1, 0, 2});
    const auto scope = b_.scope("picture");
    const ValueId gate = b_.silu(b_.linear("gate", shown, c_.picture_width, c_.width, false));
    const ValueId up = b_.linear("up", shown, c_.picture_width, c_.width, false);
    return b_.linear("down", b_.mul(gate, up), c_.width, c_.width, false);
  }

  // As the video's transformer takes its texts.
  ValueId text() {
    const ValueId given =
        b_.input("text", DType::kF32, {batch_, text_length_, c_.text_width}, Rate::kClip);
    const auto scope = b_.scope("text");
    return b_.layer_norm(b_.linear("projection", given, c_.text_width, c_.width, false),
                         b_.weight("norm.weight", {c_.width}), b_.weight("norm.bias", {c_.width}),
                         c_.epsilon);
  }

  layers::RopeTables positions() {
    const int64_t pairs = c_.width / c_.heads / 2;
    const ValueId angles = layers::outer(
        b_, b_.iota(frames_), layers::rope_frequencies(b_, pairs, c_.theta), frames_, pairs);
    const std::vector<Dim> shape{1, frames_, 1, pairs};
    return {b_.reshape(b_.cos(angles), shape), b_.reshape(b_.sin(angles), shape)};
  }

  const MovieGenAudioConfig& c_;
  Builder b_;
  const Dim batch_ = Dim::symbol("batch"), frames_ = Dim::symbol("frames");
  const Dim text_length_ = Dim::symbol("text_length"), pictures_ = Dim::symbol("pictures");
};

}  // namespace

Result<Graph> build_moviegen_audio_dit(const MovieGenAudioConfig& config) {
  return AudioBuilder(config).build();
}

}  // namespace zoetrope
