#include "models/ltx2/sound.h"

#include "graph/builder.h"

namespace zoetrope {
namespace {

constexpr double kNormEpsilon = 1e-6;
constexpr double kLastSlope = 0.01;  // PyTorch's own, whatever the others are

// A spectrogram [batch, t, f, c].
struct Mel {
  ValueId value;
  Dim t;
  int64_t f, c;
};
// A sequence [batch, n, c].
struct Wave {
  ValueId value;
  Dim n;
  int64_t c;
};

class SoundBuilder {
 public:
  explicit SoundBuilder(const Ltx2SoundConfig& config) : c_(config), b_("sound_decoder") {}

  Result<Graph> build() {
    ZT_RETURN_IF_ERROR(check());
    const Dim frames = Dim::symbol("frames");
    const ValueId latents =
        b_.input("latents", DType::kF32, {batch_, frames, c_.latent_channels * c_.latent_bins});
    Mel x{b_.transpose(b_.reshape(latents, {batch_, frames, c_.latent_channels, c_.latent_bins}),
                       {0, 1, 3, 2}),
          frames, c_.latent_bins, c_.latent_channels};
    x = spectrogram(x);
    const Wave wave = vocode(x);
    b_.output("sound", b_.pad(wave.value, {0, 0, 0}, {0, frames * c_.samples() - wave.n, 0}));
    return b_.finish();
  }

 private:
  Status check() const {
    for (const int64_t size :
         {c_.channels, c_.latent_channels, c_.latent_bins, c_.bins, c_.base, c_.blocks, c_.width})
      if (size < 1 || size > 1 << 20)
        return error(Code::kInvalidArgument, "a decoder of sound with a size of ", size);
    if (c_.levels.empty() || c_.levels.size() > 8 || c_.ups.empty() || c_.ups.size() > 16 ||
        c_.kernels.empty())
      return error(Code::kInvalidArgument, "a decoder of sound of ", c_.levels.size(), " levels, ",
                   c_.ups.size(), " upsamplings and ", c_.kernels.size(), " kernels");
    for (const auto& up : c_.ups)
      if (up.factor < 1 || up.kernel < up.factor || (up.kernel - up.factor) % 2 != 0)
        return error(Code::kInvalidArgument, "a vocoder that gets ", up.factor,
                     " times as long with kernels of ", up.kernel,
                     ": expected as long a kernel at least, longer by an even number");
    for (const auto& kernel : c_.kernels)
      if (kernel.size < 1 || kernel.size % 2 == 0 || kernel.dilations.empty())
        return error(Code::kInvalidArgument, "a vocoder's residual blocks with kernels of ",
                     kernel.size, ": expected an odd number and dilations");
    if (c_.latent_bins * c_.mel_frames_a_latent() != c_.bins)
      return error(Code::kInvalidArgument, c_.latent_bins, " bins of latents become ",
                   c_.latent_bins * c_.mel_frames_a_latent(), ", expected ", c_.bins);
    if (c_.width >> c_.ups.size() < 1)
      return error(Code::kInvalidArgument, "a vocoder of ", c_.width,
                   " channels cannot halve them ", c_.ups.size(), " times");
    return Status();
  }

  // Causal in time: all padding is before.
  Mel conv(std::string_view name, const Mel& x, int64_t channels, int64_t kernel = 3) {
    const auto outer = b_.scope(name);
    const auto inner = b_.scope("conv");
    const int64_t side = kernel / 2;
    const ValueId y =
        b_.conv(x.value, b_.weight("weight", {channels, kernel, kernel, x.c}),
                {.stride = {}, .dilation = {}, .pad_lo = {kernel - 1, side}, .pad_hi = {0, side}});
    return {b_.add(y, b_.weight("bias", {channels})), x.t, x.f, channels};
  }
  Mel norm_silu(Mel x) {
    x.value = b_.silu(b_.rms_norm(x.value, kNone, kNormEpsilon));
    return x;
  }
  Mel residual(const std::string& name, Mel x, int64_t channels) {
    const auto scope = b_.scope(name);
    const Mel h = conv("conv2", norm_silu(conv("conv1", norm_silu(x), channels)), channels);
    if (x.c != channels) x = conv("nin_shortcut", x, channels, 1);
    x.value = b_.op(OpKind::kAdd, {h.value, x.value}, {}, "output");
    return x;
  }

  Mel spectrogram(Mel x) {
    const auto scope = b_.scope("audio_vae.decoder");
    x = conv("conv_in", x, c_.base * c_.levels.back());
    x = residual("mid.block_2", residual("mid.block_1", x, x.c), x.c);
    for (size_t level = c_.levels.size(); level-- > 0;) {
      const auto up = b_.scope("up." + std::to_string(level));
      for (int64_t i = 0; i <= c_.blocks; ++i)
        x = residual("block." + std::to_string(i), x, c_.base * c_.levels[level]);
      if (level == 0) continue;
      // Twice as many of both, less the first frame, which stands for none.
      x = conv("upsample.conv", {b_.repeat(b_.repeat(x.value, 1, 2), 2, 2), x.t * 2, x.f * 2, x.c},
               x.c);
      x.value = b_.slice(x.value, 1, 1, Builder::kToEnd);
      x.t = x.t - 1;
    }
    x = conv("conv_out", norm_silu(x), c_.channels);
    x.value = b_.op(OpKind::kReshape, {x.value},
                    {{"dims", std::vector<Dim>{batch_, x.t, x.f, x.c}}}, "mel");
    return x;
  }

  Wave leaky(Wave x, double slope) {
    x.value = b_.op(OpKind::kMax, {x.value, b_.mul(x.value, b_.scalar(slope))});
    return x;
  }
  Wave conv(std::string_view name, const Wave& x, int64_t channels, int64_t kernel,
            int64_t dilation = 1, bool bias = true) {
    const auto scope = b_.scope(name);
    const int64_t side = dilation * (kernel / 2);
    ValueId y = b_.conv(x.value, b_.weight("weight", {channels, kernel, x.c}),
                        {.stride = {}, .dilation = {dilation}, .pad_lo = {side}, .pad_hi = {side}});
    if (bias) y = b_.add(y, b_.weight("bias", {channels}));
    return {y, x.n, channels};
  }
  Wave longer(const std::string& name, const Wave& x, const Ltx2SoundConfig::Up& up) {
    const auto scope = b_.scope(name);
    const int64_t channels = x.c / 2, cut = (up.kernel - up.factor) / 2;
    const ValueId y =
        b_.op(OpKind::kConvTranspose, {x.value, b_.weight("weight", {channels, up.kernel, x.c})},
              {{"stride", std::vector<Dim>{up.factor}},
               {"pad_lo", std::vector<Dim>{cut}},
               {"pad_hi", std::vector<Dim>{cut}}});
    return {b_.add(y, b_.weight("bias", {channels})), x.n * up.factor, channels};
  }
  Wave residual(const std::string& name, Wave x, const Ltx2SoundConfig::Kernel& kernel) {
    const auto scope = b_.scope(name);
    for (size_t i = 0; i < kernel.dilations.size(); ++i) {
      const std::string at = std::to_string(i);
      Wave h = conv("convs1." + at, leaky(x, c_.slope), x.c, kernel.size, kernel.dilations[i]);
      h = conv("convs2." + at, leaky(h, c_.slope), x.c, kernel.size);
      x.value = b_.add(x.value, h.value);
    }
    return x;
  }

  Wave vocode(const Mel& mel) {
    const auto scope = b_.scope("vocoder");
    const int64_t channels = mel.c * mel.f;  // by channel of sound, then by bin
    Wave x{b_.reshape(b_.transpose(mel.value, {0, 1, 3, 2}), {batch_, mel.t, channels}), mel.t,
           channels};
    x = conv("conv_in", x, c_.width, 7);
    for (size_t i = 0; i < c_.ups.size(); ++i) {
      x = longer("upsamplers." + std::to_string(i), leaky(x, c_.slope), c_.ups[i]);
      ValueId sum = kNone;
      for (size_t k = 0; k < c_.kernels.size(); ++k) {
        const Wave y =
            residual("resnets." + std::to_string(i * c_.kernels.size() + k), x, c_.kernels[k]);
        sum = sum == kNone ? y.value : b_.add(sum, y.value);
      }
      x.value = b_.div(sum, b_.scalar(static_cast<double>(c_.kernels.size())));
    }
    x = conv("conv_out", leaky(x, kLastSlope), c_.channels, 7, 1, c_.final_bias);
    using Final = Ltx2SoundConfig::Final;
    if (c_.final == Final::kTanh) x.value = b_.tanh(x.value);
    if (c_.final == Final::kClamp)
      x.value = b_.op(OpKind::kMax, {b_.op(OpKind::kMin, {x.value, b_.scalar(1)}), b_.scalar(-1)});
    return x;
  }

  const Ltx2SoundConfig& c_;
  Builder b_;
  const Dim batch_ = Dim::symbol("batch");
};

}  // namespace

int64_t Ltx2SoundConfig::samples() const {
  int64_t factor = mel_frames_a_latent();
  for (const Up& up : ups) factor *= up.factor;
  return factor;
}

Result<Graph> build_ltx2_sound_decoder(const Ltx2SoundConfig& config) {
  return SoundBuilder(config).build();
}

}  // namespace zoetrope
