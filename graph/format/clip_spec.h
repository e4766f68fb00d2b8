// What comes out of a model and what latents it has, as a recipe says it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace zoetrope {

enum class Modality : uint8_t { kImage, kVideo, kSound };

// What a model accepts along one dimension: min..max in steps of `multiple`. Of frames, in steps
// from `offset`: 17 n + 5 has multiple 17 and offset 5.
struct Range {
  int64_t min = 1, max = 1, multiple = 1, preferred = 1, offset = 0;
};

// What comes out.
struct ClipSpec {
  int fps = 1;             // of video
  int sample_rate = 0;     // 0: no sound
  int sound_channels = 0;  // interleaved
  Range width, height;     // pixels
  Range frames;            // of video; 1 for pictures
};

// One stream of latents. Denoising works on (latent - mean) / std, one entry a channel. Layouts:
//   image [batch, height, width, channels]   video [batch, time, height, width, channels]
//   sound [batch, time, channels]
struct LatentSpec {
  std::string name;  // stages refer to it
  Modality media = Modality::kVideo;
  int channels = 0;
  std::vector<float> mean, std;
  int pixels = 1;        // image, video: rows and columns of pixels that a latent stands for
  int first_frames = 1;  // video: frames that the first latent stands for,
  int later_frames = 1;  //   and each later one
  int samples = 1;       // sound: samples (of each channel) that a latent stands for
  bool nearest = false;  // sound: as many latents as come nearest to the clip, what they lack being
                         //   silence; else as many as cover it
  // Of video: the first of each so many latents stands for `first_frames`, and not the clip's
  // alone.
  int period = 0;
};

// How a decoder may be run piece by piece, counted in latents: of clips and sound along time; of
// pictures, and of clips whose decoder has a `first`, along rows and along columns.
struct TileSpec {
  int64_t length = 0;   // of one call; 0: always the whole sequence
  int64_t overlap = 0;  // that neighbouring tiles share, at least
  int64_t reach = 0;    // output depends on this many latents on either side; 0: unknown
  // Of video: the pieces that the model's own clips are made of, which no request changes. What
  // there is to share beyond `overlap` goes to the first ones. Each fades in from its first frame
  // or pixel on, where it is 0; where four meet the first has no part, and the one before along
  // rows has its whole.
  bool stitched = false;
};

}  // namespace zoetrope
