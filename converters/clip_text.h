// CLIP's text towers and tokenizers from their published files.
#pragma once

#include <string>
#include <vector>

#include "converters/opened_part.h"
#include "models/clip/clip_text.h"

namespace zoetrope {

struct ClipText {
  ClipTextConfig config;
  OpenedPart part;  // text_encoder
};

// A folder of transformers (CLIPTextModel, CLIPTextModelWithProjection), or such weights alone in
// one file, as ComfyUI's clip_l and clip_g: the published sizes need no configuration.
Result<ClipText> open_clip_text(const std::string& path);

// A folder with vocab.json and merges.txt, or with tokenizer.json, or that file, as the data of the
// tokenizer kind clip_bpe.
Result<std::vector<uint8_t>> read_clip_tokenizer(const std::string& path);

}  // namespace zoetrope
