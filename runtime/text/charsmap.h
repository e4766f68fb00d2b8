// The tables by which SentencePiece normalises text, checked before the library follows them: it
// trusts every offset in them.
#pragma once

#include <cstdint>
#include <span>

#include "graph/status.h"

namespace zoetrope {

// `model` is a serialised ModelProto. Errors where a table points outside itself, or where the
// bytes are no message at all; what else is in the message is the library's to judge.
Status check_charsmaps(std::span<const uint8_t> model);

}  // namespace zoetrope
