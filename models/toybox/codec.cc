#include "graph/builder.h"
#include "models/toybox/toybox.h"

namespace zoetrope {
namespace {

// Waveform activations [B, L, C].
struct Sequence {
  ValueId value;
  Dim length;
  int64_t c;
};

class CodecBuilder {
 public:
  CodecBuilder(const ToyboxConfig::Codec& config, const char* name) : c_(config), b_(name) {
    for (int64_t stride : c_.strides) hop_ *= stride;
  }

  Result<Graph> encoder() {
    const Dim length = Dim::symbol("audio_length") * hop_;
    Sequence x{b_.input("audio", DType::kF32, {batch_, length, c_.channels}), length, c_.channels};
    const auto scope = b_.scope("codec.encoder");
    x = conv("input", x, c_.encoder_widths[0], 7);
    for (size_t i = 0; i < c_.strides.size(); ++i) {
      const auto stage = b_.scope("stages." + std::to_string(i));
      x = units(x, c_.encoder_dilations[i]);
      x = conv("down", snake("snake", x), c_.encoder_widths[i + 1], 2 * c_.strides[i],
               c_.strides[i]);
    }
    x = conv("output", snake("snake", x), c_.latent_channels, 3);
    b_.output("latents", x.value);
    return b_.finish();
  }

  Result<Graph> decoder() {
    const Dim length = Dim::symbol("audio_length");
    Sequence x{b_.input("latents", DType::kF32, {batch_, length, c_.latent_channels}), length,
               c_.latent_channels};
    const auto scope = b_.scope("codec.decoder");
    const size_t count = c_.strides.size();
    x = conv("input", x, c_.decoder_widths[count], 3);
    for (size_t k = 0; k < count; ++k) {
      const size_t i = count - 1 - k;  // the coarsest stage first
      const auto stage = b_.scope("stages." + std::to_string(k));
      const int64_t stride = c_.strides[i], channels = c_.decoder_widths[i];
      x = conv("up", snake("snake", x), stride * channels, 3);
      const Dim longer = x.length * stride;
      x = {b_.reshape(x.value, {batch_, longer, channels}), longer, channels};
      x = units(x, c_.decoder_dilations[i]);
    }
    x = conv("output", snake("snake", x), c_.channels, 7);
    b_.output("audio", x.value);
    return b_.finish();
  }

 private:
  // Zero padding; stride 1: dilation·(k − 1)/2 on both sides; stride s: k = 2s and s zeros in all,
  // floor(s / 2) of them before.
  Sequence conv(std::string_view name, const Sequence& x, int64_t channels, int64_t kernel,
                int64_t stride = 1, int64_t dilation = 1) {
    const auto scope = b_.scope(name);
    const int64_t total = stride == 1 ? dilation * (kernel - 1) : kernel - stride;
    const ValueId y = b_.conv(x.value, b_.weight("weight", {channels, kernel, x.c}),
                              {.stride = {stride},
                               .dilation = {dilation},
                               .pad_lo = {total / 2},
                               .pad_hi = {total - total / 2}});
    return {b_.add(y, b_.weight("bias", {channels})), floor_div(x.length, stride), channels};
  }

  // x + sin²(α x) / (α + 1e-9)
  Sequence snake(std::string_view name, Sequence x) {
    const auto scope = b_.scope(name);
    const ValueId alpha = b_.weight("alpha", {x.c});
    const ValueId s = b_.sin(b_.mul(x.value, alpha));
    x.value = b_.add(x.value, b_.div(b_.mul(s, s), b_.add(alpha, b_.scalar(1e-9))));
    return x;
  }

  Sequence units(Sequence x, const std::vector<int64_t>& dilations) {
    for (size_t i = 0; i < dilations.size(); ++i) {
      const auto scope = b_.scope("units." + std::to_string(i));
      Sequence h = conv("conv1", snake("snake1", x), x.c, 7, 1, dilations[i]);
      h = conv("conv2", snake("snake2", h), x.c, 1);
      x.value = b_.add(x.value, h.value);
    }
    return x;
  }

  const ToyboxConfig::Codec& c_;
  Builder b_;
  const Dim batch_ = Dim::symbol("batch");
  int64_t hop_ = 1;
};

}  // namespace

Result<Graph> build_toybox_codec_encoder(const ToyboxConfig::Codec& config) {
  return CodecBuilder(config, "codec_encoder").encoder();
}

// As toybox_tae_reach: dilated convolutions of 7 in the units, 3 before each upsampling.
int64_t toybox_codec_reach(const ToyboxConfig::Codec& config) {
  int64_t reach = 3;  // "output"
  for (size_t i = 0; i < config.strides.size(); ++i) {
    for (int64_t dilation : config.decoder_dilations[i]) reach += 3 * dilation;
    reach = (reach + config.strides[i] - 1) / config.strides[i] + 1;
  }
  return reach + 1;  // "input"
}

Result<Graph> build_toybox_codec_decoder(const ToyboxConfig::Codec& config) {
  return CodecBuilder(config, "codec_decoder").decoder();
}

}  // namespace zoetrope
