// Damage to bytes that know no structure.
#pragma once

#include <cstdint>
#include <vector>

#include "tests/fuzz/draw.h"

namespace zoetrope {

using Bytes = std::vector<uint8_t>;

// Sizes, signs and limits that code tends to get wrong.
inline constexpr uint32_t kEdgeWords[] = {
    0,    1,     2,      3,      4,       7,          8,          0x7f,       0x80,
    0xff, 0x100, 0x7fff, 0xffff, 0x10000, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff};

// One change in one place: a byte, a bit, a word, the end, a piece more, less or elsewhere. The
// bytes are at least one.
void change_bytes(Draw& draw, Bytes* bytes);

}  // namespace zoetrope
