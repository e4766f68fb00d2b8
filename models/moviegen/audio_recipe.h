// How Movie Gen Audio's components make sound, of words, of a clip's frames, and of known sound:
// the recipe of its pipeline (arXiv 2410.13720, section 6), from what its parts are.
//
// From the paper: T5-base for text, long-prompt MetaCLIP's features of 1024 of each frame brought
// to the latents' rate by the nearest, known sound and its mask joined along channels, guidance of
// 3 over text and pictures together, midpoint in 64 steps, long sound by windows whose velocities
// are averaged under triangles (MultiDiffusion). Where it is silent, here:
//   the picture tower is ViT-H/14, whose projected class token has 1024, and sees 16 frames a
//   second; what guidance moves away from hears the known sound, but neither words nor frames;
//   windows are of 30 s and share 10, known sound at an end is half a window;
//   a text of none is the empty one; its ids end as T5's do; at most 512.
#pragma once

#include "graph/format/recipe.h"
#include "models/clip/clip.h"
#include "models/moviegen/audio.h"
#include "models/moviegen/codec.h"
#include "models/t5/t5.h"

namespace zoetrope {

// Components: text_encoder, vision_encoder, sound_encoder, sound_decoder, dit.
struct MovieGenAudioPipeline {
  MovieGenAudioConfig dit;
  MovieGenCodecConfig codec;
  T5Config text;
  ClipVisionConfig vision;
  int sample_rate = 48000;
  int fps = 16;                          // of frames that are looked at
  int64_t seconds = 16, longest = 3600;  // of sound
  int text_ids = 512;
  int64_t window = 750, overlap = 250;             // latents
  int64_t encoder_tile = 256, decoder_tile = 128;  // latents of one call; 0: whole
  int steps = 64;
  double guidance = 3;
};

// As the paper has it.
MovieGenAudioPipeline moviegen_audio_pipeline();
// The same parts, a few thousand weights each: for trying commands.
MovieGenAudioPipeline tiny_moviegen_audio_pipeline();

Recipe moviegen_audio_recipe(const MovieGenAudioPipeline& pipeline);

}  // namespace zoetrope
