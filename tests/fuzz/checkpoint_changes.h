// Rewrites what checkpoints are made of, so that readers take them and conversion has to look.
#pragma once

#include <string>

#include "tests/fuzz/byte_changes.h"

namespace zoetrope {

// Each says what it changed; "" for nothing. Tensors of a safetensors file get other names, dtypes,
// shapes and numbers, go, or come twice; offsets follow, mostly.
std::string change_safetensors(Draw& draw, Bytes* file);
// Texts and numbers of the pickle in a PyTorch file, its members, or the pickle's bytes.
std::string change_torch(Draw& draw, Bytes* file);
// Words of a GGUF's header: counts, lengths, types, dimensions, offsets.
std::string change_gguf(Draw& draw, Bytes* file);

}  // namespace zoetrope
