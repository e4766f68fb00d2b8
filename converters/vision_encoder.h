// CLIP's picture towers from their published files.
#pragma once

#include <string>

#include "converters/opened_part.h"
#include "graph/format/recipe.h"
#include "models/clip/clip.h"

namespace zoetrope {

struct VisionEncoder {
  ClipVisionConfig config;
  OpenedPart part;        // vision_encoder
  ImageFeatures picture;  // size, fit and filter: how its input is made of a frame
};

// A folder of transformers (CLIPVisionModel), such weights alone in one file, or Wan's own file of
// ViT-H/14, whose text tower is passed over. `processor`: a folder with preprocessor_config.json
// (CLIPImageProcessor); empty: pictures are made as the libraries do that the layout belongs to.
Result<VisionEncoder> open_vision_encoder(const std::string& path,
                                          const std::string& processor = "");

}  // namespace zoetrope
