// How LTX-2's components make a clip with sound: the recipe of a pipeline, from what its parts are.
#pragma once

#include <optional>
#include <vector>

#include "graph/format/recipe.h"
#include "models/ltx2/dit.h"
#include "models/ltx2/sound.h"
#include "models/ltx2/text_encoder.h"
#include "models/ltx2/upsampler.h"
#include "models/ltx2/video_vae.h"

namespace zoetrope {

struct Ltx2Pipeline {
  Ltx2Config dit;
  Ltx2TextConfig text;
  Ltx2VaeConfig vae;
  Ltx2SoundConfig sound;
  int sample_rate = 24000;
  bool hears = false;  // there is a sound_encoder, and the transformer knows latents of sound
  std::vector<float> mean, deviation;              // of the video's latents, a channel
  std::vector<float> sound_mean, sound_deviation;  // of the sound's
  EncodeText::Tokenizer tokenizer = EncodeText::Tokenizer::kSentencePiece;
  FlowSampler sampler;
  int steps = 8;
  // By stream: away from the negative prompt (1: not), and, where the transformer has weaker rows,
  // away from these (0 and 1: not); how much of the prediction's own spread is kept.
  struct Guidance {
    double text = 1, skipped = 0, isolated = 1, rescale = 0;
  };
  Guidance guidance, sound_guidance;
  // Most steps at half the size, then three more at the whole one: of distilled checkpoints, or
  // with a transformer of their own, adapted for them.
  std::optional<Ltx2UpsamplerConfig> upsampler = std::nullopt;
  bool refiner = false;
};

// What the undistilled checkpoints are sampled with (Lightricks/LTX-2), and sets up the
// transformer's weaker rows for it.
void set_ltx2_guidance(Ltx2Pipeline* pipeline);

// Euler in the eight steps of the distilled checkpoint (Lightricks/LTX-2), without guidance.
FlowSampler ltx2_distilled_sampler();

// Euler with a shift that follows the number of tokens, stretched to end at 0.1 (Lightricks/LTX-2).
FlowSampler ltx2_sampler();

// The three steps of its second stage.
FlowSampler ltx2_refining_sampler();

// As diffusers' pipelines, but for what a person gives: pictures are not compressed first as H.264
// would, and key frames stand at the frame that is asked for, where theirs begin with a latent
// (their index k is frame 8(k − 1) + 1, and their last one not the clip's last frame). Components:
// text_encoder, encoder, sound_encoder where sound may be given, dit and, where it knows latents,
// dit_keyed, upsampler where there are two stages and dit_refining and dit_refining_keyed where the
// second has its own, decoder, sound_decoder. An error names what the
// transformer takes for granted of the other parts and is not so: what a latent stands for decides
// its positions.
Result<Recipe> ltx2_recipe(const Ltx2Pipeline& pipeline);

}  // namespace zoetrope
