#include "models/moviegen/codec.h"

#include <string>

#include "graph/builder.h"

namespace zoetrope {
namespace {

constexpr double kSnakeEpsilon = 1e-9;
constexpr int64_t kInSide = 3, kUnitSide = 3, kEncoderOutSide = 1, kDecoderOutSide = 3;

// [batch, n, c]
struct Wave {
  ValueId value;
  Dim n;
  int64_t c;
};

class CodecBuilder {
 public:
  CodecBuilder(const MovieGenCodecConfig& config, const char* name) : c_(config), b_(name) {}

  Result<Graph> encoder() {
    ZT_RETURN_IF_ERROR(check());
    const Dim n = frames_ * c_.stride();
    Wave x{b_.input("sound", DType::kF32, {batch_, n, c_.channels}), n, c_.channels};
    const auto scope = b_.scope("encoder");
    x = conv("conv_in", x, c_.encoder_width, 2 * kInSide + 1);
    for (size_t i = 0; i < c_.strides.size(); ++i) {
      const auto block = b_.scope("block." + std::to_string(i));
      x = shorter("down", snake("snake", residuals(x)), c_.strides[i]);
    }
    x = conv("conv_out", snake("snake_out", x), 2 * c_.latent_channels, 2 * kEncoderOutSide + 1);
    b_.output("mean", b_.slice(x.value, 2, 0, c_.latent_channels));
    return b_.finish();
  }

  Result<Graph> decoder() {
    ZT_RETURN_IF_ERROR(check());
    Wave x{b_.input("latents", DType::kF32, {batch_, frames_, c_.latent_channels}), frames_,
           c_.latent_channels};
    const auto scope = b_.scope("decoder");
    x = conv("conv_in", x, c_.decoder_width, 2 * kInSide + 1);
    for (size_t i = 0; i < c_.strides.size(); ++i) {
      const auto block = b_.scope("block." + std::to_string(i));
      x = residuals(longer("up", snake("snake", x), c_.strides[c_.strides.size() - 1 - i]));
    }
    x = conv("conv_out", snake("snake_out", x), c_.channels, 2 * kDecoderOutSide + 1);
    b_.output("sound", b_.tanh(x.value));
    return b_.finish();
  }

 private:
  Status check() const {
    if (c_.channels < 1 || c_.latent_channels < 1 || c_.encoder_width < 1 || c_.strides.empty() ||
        c_.strides.size() > 16 || c_.decoder_width % (int64_t{1} << c_.strides.size()) != 0)
      return error(Code::kInvalidArgument, "a codec of sound of ", c_.strides.size(),
                   " strides from ", c_.decoder_width, " channels, which they halve");
    for (const int64_t stride : c_.strides)
      if (stride < 2 || stride % 2 != 0)  // so that lengths come out even
        return error(Code::kInvalidArgument, "a codec of sound with a stride of ", stride);
    return Status();
  }

  Wave conv(std::string_view name, const Wave& x, int64_t channels, int64_t kernel,
            int64_t dilation = 1) {
    const auto scope = b_.scope(name);
    const int64_t side = dilation * (kernel / 2);
    const ValueId y =
        b_.conv(x.value, b_.weight("weight", {channels, kernel, x.c}),
                {.stride = {}, .dilation = {dilation}, .pad_lo = {side}, .pad_hi = {side}});
    return {b_.add(y, b_.weight("bias", {channels})), x.n, channels};
  }
  Wave shorter(std::string_view name, const Wave& x, int64_t stride) {
    const auto scope = b_.scope(name);
    const ValueId y = b_.conv(
        x.value, b_.weight("weight", {2 * x.c, 2 * stride, x.c}),
        {.stride = {stride}, .dilation = {}, .pad_lo = {stride / 2}, .pad_hi = {stride / 2}});
    return {b_.add(y, b_.weight("bias", {2 * x.c})), floor_div(x.n, stride), 2 * x.c};
  }
  Wave longer(std::string_view name, const Wave& x, int64_t stride) {
    const auto scope = b_.scope(name);
    const ValueId y =
        b_.op(OpKind::kConvTranspose, {x.value, b_.weight("weight", {x.c / 2, 2 * stride, x.c})},
              {{"stride", std::vector<Dim>{stride}},
               {"pad_lo", std::vector<Dim>{stride / 2}},
               {"pad_hi", std::vector<Dim>{stride / 2}}});
    return {b_.add(y, b_.weight("bias", {x.c / 2})), x.n * stride, x.c / 2};
  }
  // x + sin²(αx) / α (arXiv 2006.08195)
  Wave snake(std::string_view name, Wave x) {
    const auto scope = b_.scope(name);
    const ValueId alpha = b_.weight("alpha", {x.c});
    const ValueId wave = b_.sin(b_.mul(x.value, alpha));
    x.value = b_.add(x.value, b_.div(b_.mul(wave, wave), b_.add(alpha, b_.scalar(kSnakeEpsilon))));
    return x;
  }
  Wave residuals(Wave x) {
    for (size_t i = 0; i < c_.dilations.size(); ++i) {
      const auto scope = b_.scope("residual." + std::to_string(i));
      Wave h = conv("conv1", snake("snake1", x), x.c, 2 * kUnitSide + 1, c_.dilations[i]);
      h = conv("conv2", snake("snake2", h), x.c, 1);
      x.value = b_.op(OpKind::kAdd, {h.value, x.value}, {}, "output");
    }
    return x;
  }

  const MovieGenCodecConfig& c_;
  Builder b_;
  const Dim batch_ = Dim::symbol("batch"), frames_ = Dim::symbol("frames");
};

}  // namespace

int64_t MovieGenCodecConfig::stride() const {
  int64_t product = 1;
  for (const int64_t s : strides) product *= s;
  return product;
}

namespace {

// Positions on either side that a level's residual units see.
int64_t units_side(const MovieGenCodecConfig& c) {
  int64_t side = 0;
  for (const int64_t dilation : c.dilations) side += kUnitSide * dilation;
  return side;
}

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

}  // namespace

// From a latent to samples: a stride's kernel of 2s lies s/2 over its own s positions on each side.
int64_t MovieGenCodecConfig::encoder_reach() const {
  int64_t positions = kEncoderOutSide;
  for (size_t i = strides.size(); i-- > 0;)
    positions = positions * strides[i] + strides[i] / 2 + units_side(*this);
  return ceil_div(positions + kInSide, stride());
}

// From a sample to latents: a position of s comes from its own and one neighbour.
int64_t MovieGenCodecConfig::decoder_reach() const {
  int64_t positions = kDecoderOutSide;
  for (const int64_t s : strides) positions = ceil_div(positions + units_side(*this), s) + 1;
  return positions + kInSide;
}

Result<Graph> build_moviegen_sound_encoder(const MovieGenCodecConfig& config) {
  return CodecBuilder(config, "sound_encoder").encoder();
}
Result<Graph> build_moviegen_sound_decoder(const MovieGenCodecConfig& config) {
  return CodecBuilder(config, "sound_decoder").decoder();
}

}  // namespace zoetrope
