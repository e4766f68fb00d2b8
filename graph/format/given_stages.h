// Stages of a recipe that bring what a request gives, pictures and clips and sound, to what a
// network takes. As in recipe.h, which includes this, `component`, `input` and `output` name a
// graph of the file and what it takes and gives; `latents` names a stream of them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "graph/format/clip_spec.h"

namespace zoetrope {

// By how much rows and columns of latents are fewer than the clip's: of each `by` there are `to`.
struct Reduced {
  int by = 1, to = 1;  // in lowest terms
  bool any() const { return by != to; }
  int64_t of(int64_t side) const { return side * to / by; }
  // Behind something that makes `factor` of each `divisor`.
  Reduced grown(int factor, int divisor) const;
  std::string text() const;  // "2", "3/2"
  bool operator==(const Reduced&) const = default;
};

// Causal coders of video are two graphs with the same states: `first` for the clip's first latent
// (the first frames), `component` for one or more later ones a call, with the states handed on by
// name. Empty: `component` knows no states and takes any number of latents.

// A picture or clip to start from, where the request gives one with a strength: latents for
// denoising.
struct StartPicture {
  std::string latents, component, input, output;
  std::string first = "";
  Reduced reduced = {};  // as of the stage that denoises
};

// A clip that the model makes anew from its first frame to its last, of which a request must give
// one: normalised latents, for channels of a network.
struct SourceClip {
  std::string latents, component, input, output;
  std::string gives;
  std::string gives_black = "";  // those of as many black frames; empty: nobody asks for them
  int scale = 1;                 // what comes out has so many times the rows and columns
  int tile = 0;                  // latents that the encoder makes at once; 0: all
};

// What is already known of a clip, as normalised latents and a mask, channels last.
struct KnownLatents {
  std::string latents, component, input, output;
  std::string gives, gives_mask;
  double mask_known = 1;
  // Of a latent of several frames where only the first (last) is known, and the known latent is
  // that frame encoded alone. Absent: the model was not made for that.
  std::optional<double> mask_first_frame = std::nullopt, mask_last_frame = std::nullopt;
  std::string first = "";
  // Where nothing is known: latents of 0; or the whole clip is encoded, its unknown frames grey (0
  // in [-1, 1]).
  enum class Fill : uint8_t { kZeros, kGrey } fill = Fill::kZeros;
  // One channel a latent; or one for each of `later_frames` frames of a latent, of which a first
  // latent of one frame repeats that frame's.
  enum class Mask : uint8_t { kLatent, kFrames } mask = Mask::kLatent;
  bool required = false;  // the model goes on from a first frame: a request must give one
  Reduced reduced = {};   // as of the stage that denoises
  // A mask between 0 and mask_known says how much of what is known stays, step after step. Else a
  // latent is known or not.
  bool graded = false;
  // Of sound: how it is encoded piece by piece, counted in latents.
  TileSpec tiles = {};
  // Frames at any time stand as latents of their own, each encoded alone, behind the clip's. Their
  // times, in frames of the clip, are given as this, f32[1, key frames]. Empty: the model takes
  // none.
  std::string gives_key_times = "";
  // Whether wholly known latents come out as they were given, whatever the network makes of them.
  bool kept() const { return fill == Fill::kZeros && mask == Mask::kLatent; }
};

// What a model sees of the given pictures: the first frame, or the first and the last one. Their
// shorter side becomes `size` and the middle is cut out; or both sides become it. Bicubic, widened
// where the picture gets smaller (as PIL), or not (as PyTorch's interpolate). Gives [1, pictures *
// length, width].
struct ImageFeatures {
  // [pictures, size, size, 3] in [-1, 1] to [pictures, length, width]
  std::string component = "", input = "", output = "";
  std::string gives = "";
  int size = 0;
  int pictures = 1;
  enum class Fit : uint8_t { kCover, kStretch } fit = Fit::kCover;
  bool antialias = true;
};

// What a model sees of every frame of a given clip that it makes the sound of. Gives [rows,
// latents, width]: of each latent what is shown at its middle; zeros where no clip is given, and in
// the rows that guidance moves away from.
struct FrameFeatures {
  std::string latents;  // of sound
  // [pictures, size, size, 3] in [-1, 1] to [pictures, width]
  std::string component = "", input = "", output = "";
  std::string gives = "";
  int size = 0;  // as of ImageFeatures
  ImageFeatures::Fit fit = ImageFeatures::Fit::kCover;
  bool antialias = true;
};

// What a model sees of pictures that the clip is to show again: somebody's face, a thing. Their
// shorter side becomes `size` and the middle is cut out, bicubic (as PIL). Gives [1, pictures,
// length, width]; a request must give one at least.
struct ReferenceFeatures {
  // [pictures, size, size, 3] in [-1, 1] to [pictures, length, width]
  std::string component = "", input = "", output = "";
  std::string gives = "";
  int size = 0;
  int most = 1;  // pictures
};

// The pictures that a clip begins and ends with, as latents beside its own, each encoded alone: a
// sample of what its encoder gives, under a seed of its own, rounded to f16, normalised and then a
// little noisy. Nothing where a request gives neither.
struct EndPictures {
  std::string latents;  // of video
  // [1, 1, height, width, 3] in [-1, 1] to a mean and a deviation [1, 1, height, width, channels]
  std::string component = "", input = "", output = "", output_deviation = "";
  std::string gives = "";        // f32[1, pictures, height, width, channels]
  std::string gives_times = "";  // f32[1, pictures]: the frames that they are
  int seed = 0;                  // as PyTorch's generator has it
  double noise = 0;              // the part of noise among them
  TileSpec area = {};            // as the decoder's of video: how the encoder makes them
};

}  // namespace zoetrope
