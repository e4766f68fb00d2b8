// Pictures, clips and sound as the pieces that their containers are made of.
#pragma once

#include <string>

#include "tests/fuzz/byte_changes.h"

namespace zoetrope {

// Rewrites chunks of a PNG, a RIFF file (WAV, WebP, AVI) or boxes of an MP4, HEIF or AVIF: one
// goes, comes twice, changes places, or has a field changed; sizes and checksums mostly follow.
// `other` gives chunks where it is of the same kind. Says what; "" where the bytes are none of
// these.
std::string change_chunks(Draw& draw, Bytes* bytes, const Bytes& other);

}  // namespace zoetrope
