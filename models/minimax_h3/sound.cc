#include "models/minimax_h3/sound.h"

#include "graph/builder.h"

namespace zoetrope {

int64_t MiniMaxH3SoundConfig::hop() const {
  return ltx2::bounded_product(strides, Ltx2Generator::kMostFactor);
}

Status check_minimax_h3_sound(const MiniMaxH3SoundConfig& c) {
  for (const int64_t size : {c.sides, c.base, c.trunk, c.latent_channels, c.heads})
    if (size < 1 || size > 1 << 20)
      return error(Code::kInvalidArgument, "an autoencoder of sound with a size of ", size);
  if (c.strides.empty() || c.strides.size() > 16 || c.hop() > Ltx2Generator::kMostFactor)
    return error(Code::kInvalidArgument, "an autoencoder of sound of ", c.strides.size(),
                 " levels, or of more than ", Ltx2Generator::kMostFactor, " samples a latent");
  return Status();
}

Ltx2Generator MiniMaxH3SoundConfig::minimax_h3_vocoder() {
  Ltx2Generator g;
  g.width = 1024;
  g.ups = {{5, 9}, {5, 9}, {2, 4}, {2, 4}, {2, 4}, {2, 4}, {2, 4}};
  g.activation = Ltx2Generator::Activation::kSnakeBeta;
  g.antialias = g.weight_norm = true;
  g.final_bias = false;
  g.final = Ltx2Generator::Final::kClamp;
  return g;
}

Result<Graph> build_minimax_h3_sound_decoder(const MiniMaxH3SoundConfig& c) {
  ZT_RETURN_IF_ERROR(check_minimax_h3_sound(c));
  ZT_RETURN_IF_ERROR(ltx2::check_generator(c.decoder));
  if (c.decoder.factor() != c.hop())
    return error(Code::kInvalidArgument, "a latent of sound becomes ", c.decoder.factor(),
                 " samples, and stands for ", c.hop());
  Builder b("sound_decoder");
  const Dim batch = Dim::symbol("batch"), frames = Dim::symbol("frames"), rows = batch * c.sides;
  const ValueId latents =
      b.input("latents", DType::kF32, {batch, frames, c.sides * c.latent_channels});
  const ValueId by_side =
      b.transpose(b.reshape(latents, {batch, frames, c.sides, c.latent_channels}), {0, 2, 1, 3});
  const ValueId x = b.linear("dec_in_proj", b.reshape(by_side, {rows, frames, c.latent_channels}),
                             c.latent_channels, c.trunk);
  const Dim samples = frames * c.hop();
  {
    const auto scope = b.scope("decoder");
    const ltx2::Wave wave = ltx2::generate(b, c.decoder, rows, {x, frames, c.trunk}, 1);
    b.output("sound", b.transpose(b.reshape(wave.value, {batch, c.sides, samples}), {0, 2, 1}));
  }
  return b.finish();
}

}  // namespace zoetrope
