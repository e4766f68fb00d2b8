#include "models/dit/recipe.h"

#include <algorithm>

#include "models/recipe_parts.h"

namespace zoetrope {

DitPictures original_dit_pictures(const DitConfig& config) {
  DitPictures pictures;
  if (config.out_channels == config.channels) pictures.sampler.variance = "fixed_large";
  return pictures;
}

DitPictures diffusers_dit_pictures() {
  DitPictures pictures;
  pictures.sampler.reference = "diffusers";
  pictures.sampler.solver = "ddim";
  pictures.sampler.spacing = "leading";
  pictures.sampler.variance = "fixed_small";
  pictures.steps = 50;
  pictures.guidance_channels = 0;
  return pictures;
}

Recipe dit_recipe(const DitConfig& c, const DitPictures& pictures) {
  Recipe r;
  const int64_t step = pictures.pixels * c.patch, trained = step * c.base_grid;
  r.clip.width =
      r.clip.height = {step, std::max<int64_t>(2048 / step * step, trained), step, trained};
  if (c.stored_positions) r.clip.width = r.clip.height = {trained, trained, step, trained};
  LatentSpec latents = recipe_parts::latents("image", Modality::kImage, pictures.shift,
                                             1 / pictures.scale, c.channels);
  latents.pixels = static_cast<int>(pictures.pixels);
  r.latents = {std::move(latents)};
  if (!pictures.autoencoder) {
    r.incomplete = "it has no autoencoder; convert it again with --vae";
    return r;
  }
  ClassLabel label;
  label.gives = "labels";
  label.classes = label.null_class = static_cast<int>(c.classes);
  label.names = pictures.labels;
  Denoise denoise;
  denoise.component = "dit";
  denoise.time = "time";
  denoise.streams = {{"image", "latents", "output"}};
  denoise.conditions = {{"labels", "labels"}};
  denoise.sampler = pictures.sampler;
  denoise.steps = pictures.steps;
  denoise.guidance = pictures.guidance;
  denoise.guidance_channels =
      static_cast<int>(std::min<int64_t>(pictures.guidance_channels, c.channels));
  // Norms and attention see the whole picture: tiles only where it does not fit, sharing as much as
  // diffusers' share.
  const TileSpec tiles{.length = 0, .overlap = 16, .reach = 0};
  r.stages = {std::move(label), StartPicture{"image", "encoder", "image", "mean"},
              std::move(denoise), DecodeImage{{"image", "decoder", "latents", "image", tiles}}};
  return r;
}

}  // namespace zoetrope
