// The pictures, clips and sound that a person gives: for the model, and for the clip that comes
// out.
#pragma once

#include <string>
#include <vector>

#include "graph/format/recipe.h"
#include "runtime/cli/known_flags.h"
#include "runtime/engine/request.h"
#include "runtime/media/media_reader.h"

namespace zoetrope {

// What a model takes, as far as files must be brought to it.
struct MediaTarget {
  int64_t width = 0, height = 0;
  int64_t frames = 0;  // asked for; 0: left to the files
  Range range;         // of frames
  int fps = 1;
  int first_frames = 1, later_frames = 1;  // that the first latent and each later one stand for
  int sample_rate = 0, channels = 0;       // 0: no sound
  int source_scale = 0;    // of models that make a clip anew: how much larger; 0: others
  double source_rate = 0;  // of that clip, of which `fps` are whole frames; 0: not known
  // Of a model that makes sound alone, in samples: asked for (0: left to the files), preferred, at
  // most, of a latent, and the most of known sound that it is given at an end. Width and height are
  // then of frames that it looks at.
  bool sound_alone = false;
  int64_t asked = 0, preferred = 0, longest = 0, latent = 1, most_known = 0;

  int64_t samples(int64_t count) const { return samples_of_frames(count, sample_rate, fps); }
};

struct KnownFiles {
  KnownMedia media;     // at the model's size and rates
  int64_t frames = 0;   // that the model makes, known ones among them; 0: its preference
  int64_t samples = 0;  // the same of a model that makes sound alone

  // The clip that comes out: `extend` whole, what is new, `lead_to` whole. Counts are frames at the
  // model's rate. Of a clip that leads to itself, a loop, the second showing is left out.
  std::string extend, lead_to;
  int64_t extend_frames = 0, lead_frames = 0;
  // Whether the first (last) frame that comes out is the given one; where the model takes it as a
  // key frame or beside its latents it is what the model makes of it.
  bool first_as_given = true, last_as_given = true;
  bool loop = false;                            // what the model makes has no end
  std::vector<float> extend_sound, lead_sound;  // at the model's rate; silence where there was none

  // --audio, or the sound of a clip that is made anew, as it is in its file; rate 0: there is none.
  std::vector<float> own_sound;
  int own_rate = 0, own_channels = 0, own_bits = 16;
  // Files that are used whole, so that their packets can be copied; empty: none.
  std::string copy_picture, copy_sound;

  // The clip whose sound a model of sound alone makes, at its own size and rate: what is shown.
  struct Shown {
    std::string path;  // empty: none
    int64_t width = 0, height = 0, frames = 0;
    int fps = 1;
  };
  Shown shown;

  Fit fit = Fit::kCover;
  Rgb background;
  std::vector<std::string> notices;
};

// From the recipe and what is asked for. Of models that make a given clip anew, what was left open
// of the size and the rate becomes the clip's: its first frame is read.
Result<MediaTarget> media_target(const Recipe& recipe, const KnownFlags& flags, ClipRequest* clip);

// Rules where lengths differ (README.md has them for people): a clip or sound decides the length
// when `frames` is open; a longer one is cut with a notice; a shorter clip is an error that says
// what to ask for, shorter sound ends in silence. Of --extend and --lead-to, `frames` is what is
// added.
Result<KnownFiles> read_known_files(const KnownFlags& flags, const MediaTarget& target);

// Moves what was read into the request: known media, or the picture to start from where the model
// takes one and --strength is given or it makes pictures.
Status give_known(const Recipe& recipe, const KnownFlags& flags, KnownFiles* files,
                  Request* request);

}  // namespace zoetrope
