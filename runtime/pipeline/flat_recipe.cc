#include "runtime/pipeline/flat_recipe.h"

namespace zoetrope {

Result<FlatRecipe> flatten(const Recipe& recipe) {
  FlatRecipe flat;
  flat.width = recipe.clip.width;
  flat.height = recipe.clip.height;
  flat.frames = recipe.clip.frames;
  if (recipe.stages.empty()) return flat;
  const LatentSpec *video = recipe.picture(), *audio = recipe.sound();
  const Denoise* denoise = recipe.denoise();
  if (video == nullptr || audio == nullptr || denoise == nullptr ||
      !std::holds_alternative<FlowSampler>(denoise->sampler))
    return error(Code::kUnsupported, "only video with sound is generated yet");
  flat.sampler = std::get<FlowSampler>(denoise->sampler);
  flat.steps = denoise->steps;
  flat.guidance = denoise->guidance;
  flat.fps = recipe.clip.fps;
  flat.frames_per_latent = video->later_frames;
  flat.pixels_per_latent = video->pixels;
  flat.sample_rate = recipe.clip.sample_rate;
  flat.audio_channels = recipe.clip.sound_channels;
  flat.samples_per_latent = audio->samples;
  flat.video = {video->channels, video->mean, video->std};
  flat.audio = {audio->channels, audio->mean, audio->std};
  const auto tiles = [](const TileSpec& t, FlatLatents* to) {
    to->tile_length = t.length, to->tile_overlap = t.overlap, to->reach = t.reach;
  };
  for (const Stage& stage : recipe.stages) {
    if (const auto* s = std::get_if<DecodeVideo>(&stage)) tiles(s->tiles, &flat.video);
    if (const auto* s = std::get_if<DecodeSound>(&stage)) tiles(s->tiles, &flat.audio);
    if (const auto* s = std::get_if<EncodeText>(&stage)) flat.max_text = s->max_ids;
  }
  return flat;
}

}  // namespace zoetrope
