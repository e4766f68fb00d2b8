// ModelInfo and tensor table ↔ the FlatBuffer root. Private to graph/format.
#pragma once

#include <span>
#include <vector>

#include "graph/format/model_file.h"

namespace zoetrope {

std::vector<uint8_t> encode_root(const ModelInfo& info, std::span<const TensorEntry> tensors);

// Every byte of `root` is hostile. Offsets of tensors are checked against `file_bytes`.
Status decode_root(std::span<const uint8_t> root, int64_t file_bytes, ModelInfo* info,
                   std::vector<TensorEntry>* tensors);

}  // namespace zoetrope
