// CLIP's picture towers from their published files.
#pragma once

#include <string>

#include "converters/opened_part.h"
#include "models/clip/clip.h"

namespace zoetrope {

struct VisionEncoder {
  ClipVisionConfig config;
  OpenedPart part;  // vision_encoder
};

// A folder of transformers (CLIPVisionModel), such weights alone in one file, or Wan's own file of
// ViT-H/14, whose text tower is passed over.
Result<VisionEncoder> open_vision_encoder(const std::string& path);

}  // namespace zoetrope
