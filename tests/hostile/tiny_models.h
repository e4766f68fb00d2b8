// Seven whole models of a few kilobytes, honest: what tests bend into lies and what the fuzzer
// rewrites. Between them they have most kinds of stages, and most ops.
#pragma once

#include <string>
#include <vector>

#include "graph/format/model_writer.h"
#include "graph/format/recipe.h"
#include "runtime/engine/request.h"

namespace zoetrope {

struct TinyModel {
  ModelInfo info;  // but for the recipe
  Recipe recipe;
  std::vector<TensorSource> tensors;

  Graph& component(std::string_view name);
  template <typename S>
  S& stage() {
    for (Stage& s : recipe.stages)
      if (S* found = std::get_if<S>(&s)) return *found;
    ZT_CHECK(false);
    return std::get<S>(recipe.stages.front());
  }
  // Puts in what weights the components now have; those that are there stay as they are.
  void complete_tensors();
  Status write(const std::string& path) const;
};

// A clip of 6 frames, 16 x 16, with sound: text, known frames and known sound, tiles.
TinyModel tiny_clip();
// 5 frames by coders in two parts; two networks that take turns; looks at the first frame, which a
// request must give.
TinyModel tiny_causal();
// A picture of a class by diffusion, 16 x 16; may start from a picture.
TinyModel tiny_picture();
// A clip of 7 frames, 16 x 16, in stitched pieces, with sound by a schedule of its own; pictures at
// its ends are read among the words, which pairs of bytes are.
TinyModel tiny_ended();
// A given clip of 6 frames, 8 x 8, made anew twice as large, beside one or two pictures.
TinyModel tiny_edited();
// A clip of 6 frames, 16 x 16, denoised at half its size, made larger and denoised again.
TinyModel tiny_refined();
// Sound alone, which follows what a given clip shows.
TinyModel tiny_sound();

// Grey pixels of the clip's preferred size.
KnownFrames grey_frames(const Recipe& recipe, int64_t count);

}  // namespace zoetrope
