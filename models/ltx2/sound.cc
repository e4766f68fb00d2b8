#include "models/ltx2/sound.h"

#include "graph/builder.h"
#include "models/ltx2/mel.h"

namespace zoetrope {
namespace {

using ltx2::Mel;
using ltx2::Wave;

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
         {c_.channels, c_.latent_channels, c_.latent_bins, c_.bins, c_.base, c_.blocks})
      if (size < 1 || size > 1 << 20)
        return error(Code::kInvalidArgument, "a decoder of sound with a size of ", size);
    if (c_.levels.empty() || c_.levels.size() > 8)
      return error(Code::kInvalidArgument, "a decoder of sound of ", c_.levels.size(), " levels");
    ZT_RETURN_IF_ERROR(ltx2::check_generator(c_.vocoder));
    if (c_.bandwidth) {
      ZT_RETURN_IF_ERROR(ltx2::check_bandwidth(*c_.bandwidth));
      if (c_.vocoder.factor() % c_.bandwidth->hop != 0)
        return error(Code::kUnsupported, "a frame of the spectrogram becomes ", c_.vocoder.factor(),
                     " samples, and spectra are taken every ", c_.bandwidth->hop,
                     ": expected a whole number of them");
    }
    if (c_.latent_bins * c_.mel_frames_a_latent() != c_.bins)
      return error(Code::kInvalidArgument, c_.latent_bins, " bins of latents become ",
                   c_.latent_bins * c_.mel_frames_a_latent(), ", expected ", c_.bins);
    return Status();
  }

  Mel spectrogram(Mel x) {
    const auto scope = b_.scope("audio_vae.decoder");
    x = ltx2::mel_conv(b_, "conv_in.conv", x, c_.base * c_.levels.back());
    for (const char* block : {"mid.block_1", "mid.block_2"})
      x = ltx2::mel_residual(b_, block, x, x.c);
    for (size_t level = c_.levels.size(); level-- > 0;) {
      const auto up = b_.scope("up." + std::to_string(level));
      for (int64_t i = 0; i <= c_.blocks; ++i)
        x = ltx2::mel_residual(b_, "block." + std::to_string(i), x, c_.base * c_.levels[level]);
      if (level == 0) continue;
      // Twice as many of both, less the first frame, which stands for none.
      x = ltx2::mel_conv(b_, "upsample.conv.conv",
                         {b_.repeat(b_.repeat(x.value, 1, 2), 2, 2), x.t * 2, x.f * 2, x.c}, x.c);
      x.value = b_.slice(x.value, 1, 1, Builder::kToEnd);
      x.t = x.t - 1;
    }
    x = ltx2::mel_conv(b_, "conv_out.conv", ltx2::mel_norm_silu(b_, x), c_.channels);
    x.value = b_.op(OpKind::kReshape, {x.value},
                    {{"dims", std::vector<Dim>{batch_, x.t, x.f, x.c}}}, "mel");
    return x;
  }

  Wave vocode(const Mel& mel) {
    const auto scope = b_.scope("vocoder");
    const int64_t channels = mel.c * mel.f;  // by channel of sound, then by bin
    const Wave x{b_.reshape(b_.transpose(mel.value, {0, 1, 3, 2}), {batch_, mel.t, channels}),
                 mel.t, channels};
    if (!c_.bandwidth) return ltx2::generate(b_, c_.vocoder, batch_, x, c_.channels);
    Wave low;
    {
      const auto inner = b_.scope("vocoder");
      low = ltx2::generate(b_, c_.vocoder, batch_, x, c_.channels);
    }
    return ltx2::widen_band(b_, *c_.bandwidth, batch_, low);
  }

  const Ltx2SoundConfig& c_;
  Builder b_;
  const Dim batch_ = Dim::symbol("batch");
};

}  // namespace

int64_t Ltx2SoundConfig::samples() const {
  return mel_frames_a_latent() * vocoder.factor() * (bandwidth ? bandwidth->ratio : 1);
}

Ltx2SoundConfig ltx2_3_sound() {
  Ltx2SoundConfig c;
  Ltx2Bandwidth& wide = c.bandwidth.emplace();
  for (auto* g : {&c.vocoder, &wide.generator}) {
    g->activation = Ltx2Generator::Activation::kSnakeBeta;
    g->antialias = true;
    g->final_bias = false;
    g->final = Ltx2Generator::Final::kNone;
  }
  c.vocoder.width = 1536;
  c.vocoder.ups = {{5, 11}, {2, 4}, {2, 4}, {2, 4}, {2, 4}, {2, 4}};
  wide.generator.width = 512;
  wide.generator.ups = {{6, 12}, {5, 11}, {2, 4}, {2, 4}, {2, 4}};
  return c;
}

Result<Graph> build_ltx2_sound_decoder(const Ltx2SoundConfig& config) {
  return SoundBuilder(config).build();
}

}  // namespace zoetrope
